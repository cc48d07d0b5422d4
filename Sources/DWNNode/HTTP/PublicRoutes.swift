import DWN
import Foundation
import Identity
import NIOHTTP1
import Wire

/// What a browser asks without a signature, and sees of what is published (dwn-server 11.4).
struct PublicRoutes: Sendable {
  private static let longestURI = 8 << 10
  private static let mostParameters = 50
  private static let longestHeader = 32 << 10

  let service: MessageService

  func answer(_ request: NodeRequest) async -> NodeAnswer {
    guard request.uri.utf8.count <= Self.longestURI else { return .notFound }
    let parts = request.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    let segments = parts[0].split(separator: "/").map { String($0).removingPercentEncoding ?? "" }
    guard let tenant = segments.first.flatMap({ DID($0) }) else { return .notFound }
    let rest = Array(segments.dropFirst())
    do throws(RPCFailure) {
      switch (rest.first, rest.dropFirst().first, rest.count) {
      case ("records", _, 2), ("read", "records", 3):
        guard let id = RecordID(rest[rest.count - 1]) else { return .notFound }
        return try await read(tenant, ["recordId": .string(id.text)], request)
      case ("read", "protocols", 3...):
        guard let uri = Base64.decode(rest[2]).map({ String(decoding: $0, as: UTF8.self) }) else { return .notFound }
        if rest.count == 3 { return try await definition(tenant, uri, request) }
        let path = JSONValue.string(rest[3...].joined(separator: "/"))
        return try await read(
          tenant, ["protocol": .string(uri), "protocolPath": path, "published": true], request,
          sort: DateSort.publishedDescending)
      case ("query", "protocols", 2):
        let reply = try await process("Protocols", "Query", [:], tenant, request)
        return .json(reply.members["entries"] ?? [])
      case ("query", nil, 1):
        guard let parameters = Self.object(parts.count > 1 ? parts[1] : "") else {
          return .text("the query cannot be read\n", status: .badRequest)
        }
        let reply = try await process("Records", "Query", parameters, tenant, request)
        return .json(reply.json, status: HTTPResponseStatus(statusCode: reply.status.code))
      default: return .notFound
      }
    } catch {
      return .failure(error)
    }
  }

  private func definition(_ tenant: DID, _ uri: String, _ request: NodeRequest) async throws(RPCFailure) -> NodeAnswer {
    let reply = try await process("Protocols", "Query", ["filter": ["protocol": .string(uri)]], tenant, request)
    return reply.members["entries"]?.array?.first.map { .json($0) } ?? .notFound
  }

  private func read(
    _ tenant: DID, _ filter: JSONObject, _ request: NodeRequest, sort: DateSort? = nil
  ) async throws(RPCFailure) -> NodeAnswer {
    var members: JSONObject = ["filter": .object(filter)]
    members["dateSort"] = sort.map { .string($0.rawValue) }
    let answer = try await service.process(
      message("Records", "Read", members, tenant), data: nil, from: request.caller, over: .http)
    let reply = answer.reply
    guard reply.status.code == 200 else {
      // Whether there is something that is not shown is nobody's business.
      let code = reply.status.code == 401 ? 404 : reply.status.code
      return .text(code == 404 ? "not found\n" : "\(reply.status.detail)\n", status: .init(statusCode: code))
    }
    let format = reply.entry?.message["descriptor"]?["dataFormat"]?.string ?? ""
    var headers = [
      ("content-type", Self.isSafe(format) ? format : "application/octet-stream"),
      // A record is anybody's text: as a page of its own it may do nothing in the name of this server.
      ("content-security-policy", "sandbox; default-src 'none'"), ("x-content-type-options", "nosniff"),
    ]
    let text = reply.json.asciiText
    if text.utf8.count <= Self.longestHeader { headers.append(("dwn-response", text)) }
    return NodeAnswer(status: .ok, headers: headers, body: reply.data ?? [], file: answer.file)
  }

  private func process(
    _ interface: String, _ method: String, _ members: JSONObject, _ tenant: DID, _ request: NodeRequest
  ) async throws(RPCFailure) -> Reply {
    try await service.process(
      message(interface, method, members, tenant), data: nil, from: request.caller, over: .http
    ).reply
  }

  private func message(
    _ interface: String, _ method: String, _ members: JSONObject, _ tenant: DID
  ) -> AddressedMessage {
    var descriptor = members
    descriptor["interface"] = .string(interface)
    descriptor["method"] = .string(method)
    descriptor["messageTimestamp"] = .string(WallTime.now().timestamp)
    return AddressedMessage(tenant: tenant, message: ["descriptor": .object(descriptor)])
  }

  /// `filter.protocol=x&pagination.limit=3` as the members of a query; `nil` for what is none.
  static func object(_ query: Substring) -> JSONObject? {
    let pairs = query.split(separator: "&")
    guard pairs.count <= mostParameters else { return nil }
    var object = JSONObject()
    for pair in pairs {
      let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard sides.count == 2, let name = String(sides[0]).removingPercentEncoding,
        let text = sides[1].replacing("+", with: "%20").removingPercentEncoding
      else { return nil }
      let names = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
      guard (1...4).contains(names.count), !names.contains(""),
        ["filter", "pagination", "dateSort"].contains(names[0])
      else { return nil }
      object = set(value(text, of: name), at: names[...], in: object)
    }
    if object["filter"] == nil { object["filter"] = [:] }
    return object
  }

  private static func set(_ value: JSONValue, at names: ArraySlice<String>, in object: JSONObject) -> JSONObject {
    var object = object
    guard let name = names.first else { return object }
    let rest = names.dropFirst()
    object[name] = rest.isEmpty ? value : .object(set(value, at: rest, in: object[name]?.object ?? JSONObject()))
    return object
  }

  private static func value(_ text: String, of name: String) -> JSONValue {
    if name == "filter.published", let flag = Bool(text) { return .bool(flag) }
    if name == "pagination.limit" || name.hasPrefix("filter.dataSize"), let number = Int64(text) {
      return .integer(number)
    }
    return .string(text)
  }

  /// A media type that can stand in a header.
  private static func isSafe(_ format: String) -> Bool {
    format.utf8.count <= 200 && format.contains("/") && format.utf8.allSatisfy { (0x20...0x7e).contains($0) }
  }
}
