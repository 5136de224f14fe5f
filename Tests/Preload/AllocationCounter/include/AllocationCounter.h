// Preloaded into a program (LD_PRELOAD), counts what it asks of the heap.
//
// The environment variable ALLOCATION_COUNTS names a file of at least 16 bytes: two native 64-bit numbers that grow while the program runs,
// the calls of malloc, calloc, realloc, posix_memalign, aligned_alloc and memalign, and the bytes asked for. Without it nothing is counted.
#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H
#endif
