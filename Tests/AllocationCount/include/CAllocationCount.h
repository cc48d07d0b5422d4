// Counts what a thread asks of the heap, by standing before the C library's allocator: linked into the tests, never into the product.
#pragma once
#include <stdbool.h>

// False under a sanitizer, which has an allocator of its own.
bool allocations_are_counted(void);

// Calls of malloc and its kin by the calling thread since it began.
unsigned long allocations_of_this_thread(void);
