#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <malloc.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(clinux_message) == sizeof(struct mmsghdr), "clinux_message is struct mmsghdr");
_Static_assert(offsetof(clinux_message, length) == offsetof(struct mmsghdr, msg_len), "clinux_message is struct mmsghdr");

static int failed(int descriptor) {
  int reason = -errno;
  if (descriptor >= 0) close(descriptor);
  return reason;
}

// Newer than the headers of Debian 12.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

int clinux_tun_create(const char *name, bool headers) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (strlen(name) >= sizeof request.ifr_name) return -ENAMETOOLONG;
  int descriptor = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return -errno;
  strcpy(request.ifr_name, name);
  // Without IFF_TUN_EXCL the kernel would attach to a persistent interface that somebody else made.
  request.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL | (headers ? IFF_VNET_HDR : 0));
  if (ioctl(descriptor, TUNSETIFF, &request) < 0) return failed(descriptor);
  int size = 10;
  if (headers && ioctl(descriptor, TUNSETVNETHDRSZ, &size) < 0) return failed(descriptor);
  return descriptor;
}

int clinux_tun_set_offloads(int descriptor, bool tcp, bool udp) {
  unsigned wanted = 0;
  if (tcp) wanted |= TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  if (udp) wanted |= TUN_F_USO4 | TUN_F_USO6;
  return ioctl(descriptor, TUNSETOFFLOAD, (unsigned long)wanted) < 0 ? -errno : 0;
}

static void raise_buffer(int descriptor, int forced, int ordinary, int bytes) {
  // The forced form needs CAP_NET_ADMIN; the ordinary one stops at net.core.rmem_max or wmem_max.
  if (setsockopt(descriptor, SOL_SOCKET, forced, &bytes, sizeof bytes) < 0)
    setsockopt(descriptor, SOL_SOCKET, ordinary, &bytes, sizeof bytes);
}

int clinux_udp_open(int family, uint16_t port, int buffer) {
  int descriptor = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -errno;
  // PROBE: "don't fragment" on every datagram, whatever the kernel believes of the path; how long they may be is our own to find out.
  int discover = family == AF_INET6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE;
  if (setsockopt(descriptor, family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP,
                 family == AF_INET6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &discover, sizeof discover) < 0)
    return failed(descriptor);
  clinux_address address;
  memset(&address, 0, sizeof address);
  socklen_t length;
  if (family == AF_INET6) {
    int yes = 1;
    if (setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes) < 0) return failed(descriptor);
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    length = sizeof address.v6;
  } else {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    length = sizeof address.v4;
  }
  raise_buffer(descriptor, SO_RCVBUFFORCE, SO_RCVBUF, buffer);
  raise_buffer(descriptor, SO_SNDBUFFORCE, SO_SNDBUF, buffer);
  if (bind(descriptor, &address.any, length) < 0) return failed(descriptor);
  return descriptor;
}

int clinux_udp_port(int descriptor) {
  clinux_address address;
  socklen_t length = sizeof address;
  if (getsockname(descriptor, &address.any, &length) < 0) return -errno;
  return ntohs(address.family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

void clinux_message_set(clinux_message *messages, struct iovec *parts, size_t index, void *buffer, size_t length,
                        clinux_address *address, socklen_t address_length) {
  parts[index].iov_base = buffer;
  parts[index].iov_len = length;
  struct msghdr *header = &messages[index].header;
  memset(header, 0, sizeof *header);
  header->msg_name = address;
  header->msg_namelen = address_length;
  header->msg_iov = &parts[index];
  header->msg_iovlen = 1;
  messages[index].length = 0;
}

_Static_assert(sizeof(clinux_train_note) >= CMSG_SPACE(sizeof(int)), "a train's note fits");

void clinux_message_set_segments(clinux_message *messages, size_t index, clinux_train_note *note, uint16_t size) {
  struct msghdr *header = &messages[index].header;
  header->msg_control = note;
  header->msg_controllen = CMSG_SPACE(sizeof size);
  struct cmsghdr *control = CMSG_FIRSTHDR(header);
  control->cmsg_level = IPPROTO_UDP;
  control->cmsg_type = UDP_SEGMENT;
  control->cmsg_len = CMSG_LEN(sizeof size);
  memcpy(CMSG_DATA(control), &size, sizeof size);
}

void clinux_message_expect_segments(clinux_message *messages, size_t index, clinux_train_note *note) {
  messages[index].header.msg_control = note;
  messages[index].header.msg_controllen = sizeof *note;
}

int clinux_message_segments(const clinux_message *message) {
  struct msghdr *header = (struct msghdr *)&message->header;
  for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
    if (control->cmsg_level != IPPROTO_UDP || control->cmsg_type != UDP_GRO) continue;
    int size;
    memcpy(&size, CMSG_DATA(control), sizeof size);
    return size;
  }
  return 0;
}

bool clinux_udp_can_segment(int descriptor) {
  int size;
  socklen_t length = sizeof size;
  return getsockopt(descriptor, IPPROTO_UDP, UDP_SEGMENT, &size, &length) == 0;
}

int clinux_udp_coalesce(int descriptor) {
  int yes = 1;
  return setsockopt(descriptor, IPPROTO_UDP, UDP_GRO, &yes, sizeof yes) < 0 ? -errno : 0;
}

int clinux_receive(int descriptor, clinux_message *messages, unsigned count) {
  int received = recvmmsg(descriptor, (struct mmsghdr *)messages, count, MSG_DONTWAIT, NULL);
  return received < 0 ? -errno : received;
}

int clinux_send(int descriptor, clinux_message *messages, unsigned count) {
  int sent = sendmmsg(descriptor, (struct mmsghdr *)messages, count, MSG_DONTWAIT);
  return sent < 0 ? -errno : sent;
}

int64_t clinux_peer_uid(int descriptor) {
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
  return credentials.uid;
}

int clinux_lock_file(int descriptor) { return flock(descriptor, LOCK_EX | LOCK_NB) < 0 ? -errno : 0; }

int clinux_forbid_dumps(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0; }

int clinux_enter_network_namespace(const char *path) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return -errno;
  if (setns(descriptor, CLONE_NEWNET) < 0) return failed(descriptor);
  close(descriptor);
  return 0;
}

int clinux_process_open(pid_t process) {
  int descriptor = (int)syscall(SYS_pidfd_open, process, 0);
  return descriptor < 0 ? -errno : descriptor;
}

int clinux_process_signal(int descriptor, int signal) {
  return syscall(SYS_pidfd_send_signal, descriptor, signal, NULL, 0) < 0 ? -errno : 0;
}

void clinux_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

static inline __attribute__((always_inline)) uint64_t sum_words(const void *bytes, size_t count) {
  uint64_t sum = 0;
  for (size_t offset = 0; offset < count; offset += 4) {
    uint32_t word;
    memcpy(&word, (const char *)bytes + offset, sizeof word);
    sum += word;
  }
  return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t sum_words_avx2(const void *bytes, size_t count) {
  return sum_words(bytes, count);
}
#endif

uint64_t clinux_sum_words(const void *bytes, size_t count) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return sum_words_avx2(bytes, count);
#endif
  return sum_words(bytes, count);
}

void clinux_limit_arenas(int count) { mallopt(M_ARENA_MAX, count); }

void clinux_give_back_heap(void) { malloc_trim(0); }

// An object whose code was changed when it was loaded would get its file's in its place.
static bool changes_code(const struct dl_phdr_info *object) {
  for (int index = 0; index < object->dlpi_phnum; index++) {
    if (object->dlpi_phdr[index].p_type != PT_DYNAMIC) continue;
    const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(object->dlpi_addr + object->dlpi_phdr[index].p_vaddr);
    for (; entry->d_tag != DT_NULL; entry++) {
      if (entry->d_tag == DT_TEXTREL || (entry->d_tag == DT_FLAGS && entry->d_un.d_val & DF_TEXTREL)) return true;
    }
  }
  return false;
}

static int give_back_segments(struct dl_phdr_info *object, size_t size, void *context) {
  (void)size, (void)context;
  // The kernel's own object has no file.
  if (object->dlpi_addr == getauxval(AT_SYSINFO_EHDR) || changes_code(object)) return 0;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (int index = 0; index < object->dlpi_phnum; index++) {
    const ElfW(Phdr) *segment = &object->dlpi_phdr[index];
    if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;
    uintptr_t first = (object->dlpi_addr + segment->p_vaddr + page - 1) / page * page;
    uintptr_t end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz) / page * page;
    if (first < end) madvise((void *)first, end - first, MADV_DONTNEED);
  }
  return 0;
}

void clinux_give_back_code(void) { dl_iterate_phdr(give_back_segments, NULL); }

int clinux_event_create(void) {
  int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

void clinux_event_signal(int descriptor) {
  uint64_t one = 1;
  // It can fail only by overflow, and then the counter is readable already.
  ssize_t ignored = write(descriptor, &one, sizeof one);
  (void)ignored;
}

void clinux_event_clear(int descriptor) {
  uint64_t count;
  ssize_t ignored = read(descriptor, &count, sizeof count);
  (void)ignored;
}

int clinux_timer_create(void) {
  int descriptor = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

int clinux_timer_set(int descriptor, uint64_t nanoseconds) {
  struct itimerspec when;
  memset(&when, 0, sizeof when);
  when.it_value.tv_sec = (time_t)(nanoseconds / 1000000000u);
  when.it_value.tv_nsec = (long)(nanoseconds % 1000000000u);
  return timerfd_settime(descriptor, TFD_TIMER_ABSTIME, &when, NULL) < 0 ? -errno : 0;
}
