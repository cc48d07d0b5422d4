// What Swift cannot see of Linux: macros that compute, ioctls (variadic), and what stands behind _GNU_SOURCE.
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

// Every function returns a negative errno value on failure unless it says otherwise.

// --- Devices -------------------------------------------------------------------------------------------------------

// Opens /dev/net/tun and creates the interface `name`: layer 3, no packet information, non-blocking, not persistent, so
// that it vanishes with the descriptor. With `headers` a virtio-net header of 10 bytes stands before every packet, in both
// directions. -EBUSY if an interface of this name exists.
int clinux_tun_create(const char *name, bool headers);

// Tells the kernel what a device with headers takes: packets without checksum and TCP super-packets of both families
// (`tcp`), and UDP super-packets (`udp`, from Linux 6.2 on, not without `tcp`). Neither: plain packets.
int clinux_tun_set_offloads(int descriptor, bool tcp, bool udp);

// --- UDP -----------------------------------------------------------------------------------------------------------

// A non-blocking datagram socket of the family, IPv6 without IPv4, bound to the wildcard address and `port` (0: any free
// one). Its buffers are raised as far as the kernel allows, up to `buffer` bytes. Its datagrams are never fragmented, neither
// here nor on the way; one that is longer than the first link takes is refused (-EMSGSIZE).
int clinux_udp_open(int family, uint16_t port, int buffer);

// The port a socket is bound to, in host order.
int clinux_udp_port(int descriptor);

// One message of a batch: struct mmsghdr, which headers show to those alone who ask for GNU extensions.
typedef struct {
  struct msghdr header;
  unsigned length;
} clinux_message;

// An address of either family; `family` is AF_UNSPEC when there is none.
typedef union {
  sa_family_t family;
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} clinux_address;

// Points message `index` of `messages` at one buffer and one address; both stay where they are.
void clinux_message_set(clinux_message *messages, struct iovec *parts, size_t index, void *buffer, size_t length,
                        clinux_address *address, socklen_t address_length);

// Room for the one control message that says how a train is cut.
typedef struct {
  _Alignas(8) unsigned char bytes[32];
} clinux_train_note;

// Makes message `index` a train: the kernel cuts it into datagrams of `size` bytes, the last of which may be shorter.
void clinux_message_set_segments(clinux_message *messages, size_t index, clinux_train_note *note, uint16_t size);

// Gives message `index` room for the kernel's note that it is a train.
void clinux_message_expect_segments(clinux_message *messages, size_t index, clinux_train_note *note);

// The size of a received train's datagrams; 0 if the message is a single one.
int clinux_message_segments(const clinux_message *message);

// Whether the kernel cuts trains on sending (UDP_SEGMENT).
bool clinux_udp_can_segment(int descriptor);

// Lets the kernel hand over datagrams of one flow as a train (UDP_GRO).
int clinux_udp_coalesce(int descriptor);

// recvmmsg without waiting. How many messages arrived.
int clinux_receive(int descriptor, clinux_message *messages, unsigned count);

// sendmmsg without waiting. How many messages the kernel took, from the front.
int clinux_send(int descriptor, clinux_message *messages, unsigned count);

// --- Processes -----------------------------------------------------------------------------------------------------

// The user id of the process at the other end of a connected Unix socket, when it connected (SO_PEERCRED).
int64_t clinux_peer_uid(int descriptor);

// Takes a BSD lock on an open file: `true` exclusive, without waiting. -EWOULDBLOCK if somebody else holds it.
int clinux_lock_file(int descriptor);

// No core dumps, and no tracing by others (PR_SET_DUMPABLE 0), for a process that holds keys.
int clinux_forbid_dumps(void);

// Moves the calling thread into the network namespace that the file at `path` stands for.
int clinux_enter_network_namespace(const char *path);

// A descriptor that stands for a process, also when its number is given to another one later. -ESRCH if there is none.
int clinux_process_open(pid_t process);

// Sends a signal to that process.
int clinux_process_signal(int descriptor, int signal);

// Names the calling thread, at most 15 characters, for people who look at it with ps or gdb.
void clinux_name_thread(const char *name);

// --- Checksums -----------------------------------------------------------------------------------------------------

// The sum of 32-bit words in memory order, `count` bytes of them, a multiple of 4: for Internet checksums, with registers as wide as
// the processor has them, which the compiler must be told function by function.
uint64_t clinux_sum_words(const void *bytes, size_t count);

// --- Memory --------------------------------------------------------------------------------------------------------

// At most so many arenas from now on, from which malloc serves all threads.
void clinux_limit_arenas(int count);

// Gives back to the kernel what malloc keeps free.
void clinux_give_back_heap(void);

// Gives back the pages of the program's and its libraries' files that nobody writes to: code and tables. Those that are
// used again come from the page cache, some microseconds each.
void clinux_give_back_code(void);

// --- Descriptors to wait for ---------------------------------------------------------------------------------------

// An eventfd counter, non-blocking.
int clinux_event_create(void);

// Makes the counter readable; waking twice is the same as waking once.
void clinux_event_signal(int descriptor);

// Makes it unreadable again.
void clinux_event_clear(int descriptor);

// A timer on CLOCK_BOOTTIME, which goes on while the machine sleeps; non-blocking.
int clinux_timer_create(void);

// Sets it to the absolute time in nanoseconds; 0 disarms it.
int clinux_timer_set(int descriptor, uint64_t nanoseconds);
