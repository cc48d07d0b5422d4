#define _GNU_SOURCE
#include "SlowDisk.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t delay = 0;

void delay_flushes(int64_t nanoseconds) { atomic_store(&delay, nanoseconds); }

static int delayed(long result) {
  int64_t nanoseconds = atomic_load(&delay);
  if (result == 0 && nanoseconds > 0) {
    struct timespec rest = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR) {}
  }
  return (int)result;
}

int fsync(int descriptor) { return delayed(syscall(SYS_fsync, descriptor)); }

int fdatasync(int descriptor) { return delayed(syscall(SYS_fdatasync, descriptor)); }
