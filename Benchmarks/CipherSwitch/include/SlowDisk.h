// A disk whose flushes take longer. The benchmark's executable alone is linked with it: what is flushed in its process, by SQLite too, ends
// here instead of in the C library.
#pragma once

#include <stdint.h>

// From now on every flush that succeeds takes so much longer, in nanoseconds.
void delay_flushes(int64_t nanoseconds);
