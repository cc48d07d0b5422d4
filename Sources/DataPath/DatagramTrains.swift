import CLinux
import Glibc

/// Datagrams on their way out of one socket: those of one length to one address that lie one behind the other make a train, which the
/// kernel cuts; several trains go in one system call.
///
/// A socket that cannot cut trains, by its driver's fault, says so when the first one is sent. From then on datagrams go one by one, until
/// `tryAgain`.
struct DatagramTrains {
  /// Trains that wait at most.
  static let capacity = 128
  /// What older kernels take, and more than fit at full length.
  private static let longestTrain = 64
  /// An IPv4 packet's 65,535 bytes without its headers.
  static let greatestLength = 65_507

  private struct Train {
    var start: UnsafeMutableRawPointer
    /// Of all datagrams that are still to be sent, and of each but the last.
    var length: Int
    var datagramLength: Int
    var count = 1
    var takesMore = true
  }

  let descriptor: CInt
  /// Whether the kernel is to cut trains for this socket, and whether it does.
  private let wantsTrains: Bool
  private(set) var makesTrains: Bool
  private let trains: UnsafeMutablePointer<Train>
  // One more than there are trains: the last is for single datagrams.
  private let messages: UnsafeMutablePointer<clinux_message>
  private let parts: UnsafeMutablePointer<iovec>
  private let addresses: UnsafeMutablePointer<clinux_address>
  private let notes: UnsafeMutablePointer<clinux_train_note>
  private(set) var count = 0
  private var sent = 0
  private var hasSentTrain = false

  init(descriptor: CInt, makesTrains: Bool) {
    let capacity = DatagramTrains.capacity
    self.descriptor = descriptor
    wantsTrains = makesTrains
    self.makesTrains = makesTrains
    trains = .allocate(capacity: capacity)
    messages = .allocate(capacity: capacity + 1)
    messages.initialize(repeating: clinux_message(), count: capacity + 1)
    parts = .allocate(capacity: capacity + 1)
    parts.initialize(repeating: iovec(), count: capacity + 1)
    addresses = .allocate(capacity: capacity + 1)
    addresses.initialize(repeating: clinux_address(), count: capacity + 1)
    notes = .allocate(capacity: capacity)
    notes.initialize(repeating: clinux_train_note(), count: capacity)
  }

  func deallocate() {
    trains.deallocate()
    messages.deallocate()
    parts.deallocate()
    addresses.deallocate()
    notes.deallocate()
  }

  var isFull: Bool { count == DatagramTrains.capacity }

  /// Whatever the kernel refused is offered to it again: another driver may send it now.
  mutating func tryAgain() {
    makesTrains = wantsTrains
    hasSentTrain = false
  }

  /// Adds a datagram, which lies still until the flush is done. There is room for it: `isFull` is false.
  @inline(__always)
  mutating func add(_ datagram: UnsafeMutableRawPointer, length: Int, to address: UnsafePointer<clinux_address>) {
    if count > 0, makesTrains {
      let train = trains + (count &- 1)
      if train.pointee.takesMore, train.pointee.start + train.pointee.length == datagram,
        length <= train.pointee.datagramLength, train.pointee.count < DatagramTrains.longestTrain,
        train.pointee.length &+ length <= DatagramTrains.greatestLength, sameAddress(addresses + (count &- 1), address)
      {
        train.pointee.length = train.pointee.length &+ length
        train.pointee.count = train.pointee.count &+ 1
        if length < train.pointee.datagramLength { train.pointee.takesMore = false }
        return
      }
    }
    trains[count] = Train(start: datagram, length: length, datagramLength: length)
    addresses[count] = address.pointee
    count = count &+ 1
  }

  /// Hands the trains to the kernel, going on after those that it refuses. `false`: the socket is full, and the rest waits.
  mutating func flush(_ drops: DropCounters) -> Bool {
    guard count > 0 else { return true }
    if sent == 0 { prepare() }
    while sent < count {
      let taken = Int(clinux_send(descriptor, messages + sent, UInt32(truncatingIfNeeded: count &- sent)))
      if taken > 0 {
        if !hasSentTrain { hasSentTrain = trains[sent..<sent + taken].contains { $0.count > 1 } }
        sent = sent &+ taken
      } else if taken == -Int(EAGAIN) {
        return false
      } else if taken != -Int(EINTR) {
        // The first of them is at fault.
        if trains[sent].count > 1 {
          // EIO: the driver computes no checksums. EINVAL: it may be so as well, or, with older kernels, the path is too narrow for
          // these datagrams, and then it does not take one of them either.
          if taken == -Int(EIO) { makesTrains = false }
          guard sendSingly(drops, insteadOfTrains: taken == -Int(EINVAL) && !hasSentTrain) else { return false }
        } else {
          drops.count(.sending(CInt(truncatingIfNeeded: -taken)))
        }
        sent = sent &+ 1
      }
    }
    sent = 0
    count = 0
    return true
  }

  private func prepare() {
    for index in 0..<count {
      let train = trains[index]
      clinux_message_set(
        messages, parts, index, train.start, train.length, addresses + index, addresses[index].length)
      if train.count > 1 {
        clinux_message_set_segments(messages, index, notes + index, UInt16(truncatingIfNeeded: train.datagramLength))
      }
    }
  }

  /// Sends the datagrams of the train that is next, each by itself. `false`: the socket is full, and the rest of them waits.
  ///
  /// - Parameter insteadOfTrains: if one goes out, no more trains are made.
  private mutating func sendSingly(_ drops: DropCounters, insteadOfTrains: Bool) -> Bool {
    let train = trains + sent
    let spare = DatagramTrains.capacity
    addresses[spare] = addresses[sent]
    while train.pointee.length > 0 {
      let length = min(train.pointee.datagramLength, train.pointee.length)
      clinux_message_set(
        messages, parts, spare, train.pointee.start, length, addresses + spare, addresses[spare].length)
      let status = clinux_send(descriptor, messages + spare, 1)
      if status == -EAGAIN {
        // What is left is a shorter train, which will be refused, and taken apart, again.
        parts[sent].iov_base = train.pointee.start
        parts[sent].iov_len = train.pointee.length
        return false
      }
      if status == -EINTR { continue }
      if status < 0 {
        drops.count(.sending(-status))
      } else if insteadOfTrains {
        makesTrains = false
      }
      train.pointee.start += length
      train.pointee.length = train.pointee.length &- length
    }
    return true
  }
}

extension UnsafeMutablePointer {
  fileprivate subscript(range: Range<Int>) -> UnsafeBufferPointer<Pointee> {
    UnsafeBufferPointer(start: self + range.lowerBound, count: range.count)
  }
}
