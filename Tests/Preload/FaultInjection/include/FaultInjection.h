// Preloaded into a program (LD_PRELOAD), makes its disk fail, or the program die, at a chosen system call.
//
// The environment variable FAULT_INJECTION names a file of native 64-bit numbers, which a test writes while the program runs
// (`Tests/Support/Preload.swift` has the same list). Only the files of a SQLite store are looked at (*.db and *.db-wal), the sockets of
// TCP connections over IPv4, and folders. What is renamed is looked at by its new name, and by its old one.
#ifndef FAULT_INJECTION_H
#define FAULT_INJECTION_H

enum fault_slot {
    FAULT_ACTION,     // what happens; 0: nothing
    FAULT_OPERATION,  // at which call
    FAULT_FILE,       // on which file
    FAULT_COUNTDOWN,  // calls that still pass, counted down to 0
    FAULT_SEEN,       // calls that fitted since the action was set; counted by this library
    FAULT_STRUCK,     // how often the action was taken; counted by this library
    FAULT_SLOTS
};

enum fault_action {
    FAULT_NONE,
    FAULT_FAIL_ONCE,  // EIO, once
    FAULT_FULL,       // ENOSPC, from then on
    FAULT_KILL,       // SIGKILL
    FAULT_COUNT,      // nothing, but the calls are counted
    FAULT_HOLD        // the call waits until the action is another one
};

enum fault_operation { FAULT_ANY_OPERATION, FAULT_FLUSH, FAULT_WRITE, FAULT_RENAME };

// FAULT_ANY_FILE: log and database, no sockets and no folders.
enum fault_file { FAULT_ANY_FILE, FAULT_LOG, FAULT_DATABASE, FAULT_SOCKET, FAULT_FOLDER };

#endif
