import CLinux
import CMnl
import Glibc

/// A connection to the kernel's network configuration, in the network namespace of the thread that made it.
final class NetlinkSocket {
  /// The kernel's answers come in parts of at most 32 KiB.
  private static let bufferSize = 32768
  /// How long the kernel may take for one part of an answer.
  private static let patience: CInt = 5000

  private let socket: OpaquePointer
  private var sequence: UInt32 = 1

  /// - Parameter groups: a bit for each kind of event to be told, `RTMGRP_LINK` and its like; 0 for requests.
  init(groups: CInt = 0) throws(EngineError) {
    guard let socket = mnl_socket_open2(NETLINK_ROUTE, CInt(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)) else {
      throw .system("opening a netlink socket", reason: reason(of: errno))
    }
    self.socket = socket
    guard mnl_socket_bind(socket, UInt32(bitPattern: groups), pid_t(MNL_SOCKET_AUTOPID)) == 0 else {
      throw .system("binding a netlink socket", reason: reason(of: errno))
    }
  }

  deinit { mnl_socket_close(socket) }

  var descriptor: CInt { mnl_socket_get_fd(socket) }

  /// Sends a request and waits for the kernel's verdict: 0, or an error number.
  func change(_ request: consuming NetlinkRequest) -> CInt {
    exchange(request, NLM_F_ACK) { _, _ in }
  }

  /// Sends a request for a list, and hands over type and content of each of its messages. 0, or an error number.
  func list(_ request: consuming NetlinkRequest, _ body: (UInt16, UnsafeRawBufferPointer) -> Void) -> CInt {
    exchange(request, NLM_F_DUMP, body)
  }

  /// Reads away all events that wait. `true` if there were any, or too many for the socket.
  func drainEvents() -> Bool {
    var any = false
    var buffer = [UInt8](repeating: 0, count: NetlinkSocket.bufferSize)
    while true {
      let count = mnl_socket_recvfrom(socket, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      if count < 0, errno != ENOBUFS { return any }
      any = true
    }
  }

  private func exchange(
    _ request: consuming NetlinkRequest, _ flags: CInt, _ body: (UInt16, UnsafeRawBufferPointer) -> Void
  ) -> CInt {
    var request = request
    sequence &+= 1
    request.sequence = sequence
    request.ask(for: flags)
    let bytes = request.bytes
    guard mnl_socket_sendto(socket, bytes.baseAddress, bytes.count) == bytes.count else { return errno }
    var buffer = [UInt8](repeating: 0, count: NetlinkSocket.bufferSize)
    while true {
      var set = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let ready = poll(&set, 1, NetlinkSocket.patience)
      if ready < 0, errno == EINTR { continue }
      guard ready > 0 else { return ready == 0 ? ETIMEDOUT : errno }
      let count = mnl_socket_recvfrom(socket, &buffer, buffer.count)
      if count < 0, errno == EAGAIN || errno == EINTR { continue }
      guard count >= 0 else { return errno }
      let verdict = buffer.withUnsafeBytes { all in
        NetlinkSocket.read(UnsafeRawBufferPointer(rebasing: all[..<count]), sequence, body)
      }
      if let verdict { return verdict }
    }
  }

  /// One part of an answer. `nil`: more is to come.
  ///
  /// A message: length 4 bytes, type 2, flags 2, sequence 4, sender 4, content. `NLMSG_ERROR` (2) and `NLMSG_DONE` (3) end an
  /// answer; both begin with a negative error number or 0.
  static func read(
    _ bytes: UnsafeRawBufferPointer, _ sequence: UInt32, _ body: (UInt16, UnsafeRawBufferPointer) -> Void
  ) -> CInt? {
    var offset = 0
    while bytes.count - offset >= 16 {
      let length = Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      guard length >= 16, length <= bytes.count - offset else { return EBADMSG }
      let type = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt16.self)
      let content = UnsafeRawBufferPointer(rebasing: bytes[(offset + 16)..<(offset + length)])
      // An answer to an earlier request that was given up.
      let isOurs = bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt32.self) == sequence
      offset += (length + 3) & ~3
      guard isOurs else { continue }
      if type == 2 || type == 3 {
        return content.count >= 4 ? -content.loadUnaligned(as: CInt.self) : 0
      }
      body(type, content)
    }
    return nil
  }
}
