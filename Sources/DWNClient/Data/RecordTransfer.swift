import AsyncHTTPClient
public import DWN
public import Identity
import NIOCore
import NIOHTTP1
public import Wire

/// Records whose data is not held in memory, here and on the way: as much of it as one side has sent and the other has not taken.
extension HTTPEndpoint {
  /// The slowest that data may be sent or come, in bytes a second. It is given the time of one request on top of that.
  static let slowest = 16 << 10

  /// Hands a write to the node with data that comes in pieces.
  ///
  /// The CID is computed as the data passes: data that is not what the write says is not sent to its end, and `changed` is thrown.
  public func write(
    _ write: RecordsWrite, tenant: DID, data: OutgoingData
  ) async throws(DataTransferError) -> Reply {
    let described = DataDescription(cid: write.dataCID, size: write.dataSize)
    guard data.size == described.size else {
      throw .changed(reason: "it has \(data.size) bytes, and the record says \(described.size)")
    }
    let pieces = OutgoingPieces(data, described)
    let call = call(tenant, write.message.value)
    do throws(EndpointError) {
      let request = await request(for: call, .pieces(pieces))
      return try await answered(request, within: time(for: described.size)) { answer throws(EndpointError) in
        try answer.reply(to: call, from: name, now: WallTime.now())
      }
    } catch {
      throw pieces.fault.error ?? .endpoint(error)
    }
  }

  /// Reads a record with data of at most so many bytes. `body` is given the reply, and the data as it comes, where some comes; with
  /// `body`'s end the rest is no longer taken.
  ///
  /// Nothing is believed: the data is compared with what the shown record says of it, and the record is the caller's to check. Throws
  /// `DataTransferError`, and what `body` throws.
  public func read<Value: Sendable>(
    _ message: JSONValue, tenant: DID, largest: Int,
    _ body: @escaping @Sendable (_ reply: Reply, _ data: ArrivingData?) async throws -> Value
  ) async throws -> Value {
    let call = call(tenant, message)
    let opened: Opened
    do throws(EndpointError) {
      opened = try await exchanged(await request(for: call, nil), within: limits.timeout, begun) {
        answered throws(EndpointError) in
        var reply = try answered.answer.reply(to: call, from: name, now: WallTime.now())
        if answered.body != nil { reply.data = nil }
        return Opened(reply: reply, body: answered.body)
      }
    } catch {
      throw DataTransferError.endpoint(error)
    }
    let data = ArrivingData(opened.reply, opened.body, from: name)
    if let data, data.size > largest {
      throw DataTransferError.mismatch(
        name: name, reason: "it has \(data.size) bytes, and \(largest) are wanted at most")
    }
    let reply = opened.reply
    do {
      return try await TimeBound.within(time(for: data?.size ?? 0)) { try await body(reply, data) }
    } catch is TimeBound.Exceeded {
      throw DataTransferError.endpoint(.timedOut(name: name))
    }
  }

  private struct Opened: Sendable {
    var reply: Reply
    var body: HTTPClientResponse.Body?
  }

  /// An answer whose body, if that is data, is still to be read.
  private struct Answered: Sendable {
    var answer: JSONRPCAnswer
    var body: HTTPClientResponse.Body?
  }

  @Sendable private func begun(_ response: HTTPClientResponse) async throws -> Answered {
    guard response.status == .ok, response.headers.contains(name: "dwn-response") else {
      return Answered(answer: try await collected(response), body: nil)
    }
    let answer = JSONRPCAnswer(
      status: Int(response.status.code), reply: response.headers["dwn-response"],
      retryAfter: response.headers.first(name: "retry-after"), body: [])
    return Answered(answer: answer, body: response.body)
  }

  private func time(for size: Int) -> Duration { limits.timeout + .seconds(size / Self.slowest) }
}
