// adjtimex(2), which Swift's Glibc does not show.
#include <sys/timex.h>
