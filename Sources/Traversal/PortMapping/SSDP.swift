import Wire

/// How a router with UPnP is found: a search by UDP, to which it answers with where its description is (UPnP Device Architecture 1.1,
/// section 1).
enum SSDP {
  static let port: UInt16 = 1900
  static let group = IPAddress(v4: 0xefff_fffa)
  /// Answers that are read.
  static let maximumAnswers = 10

  private static let targets = ["ssdp:all", "urn:schemas-upnp-org:device:InternetGatewayDevice:1"]

  /// To the gateway itself, which need not hear multicast, and to the group.
  static func searches(for gateway: IPAddress) -> [(bytes: [UInt8], to: SocketAddress)] {
    [(search(targets[0]), SocketAddress(gateway, port: port))]
      + targets.map { (search($0), SocketAddress(group, port: port)) }
  }

  static func search(_ target: String) -> [UInt8] {
    Array(
      """
      M-SEARCH * HTTP/1.1\r
      HOST: 239.255.255.250:1900\r
      ST: \(target)\r
      MAN: "ssdp:discover"\r
      MX: 2\r
      \r\n
      """.utf8)
  }

  /// What a router says of itself.
  struct Answer: Hashable {
    var location: String
    var server: String
    var usn: String

    init(location: String, server: String, usn: String) {
      self.location = location
      self.server = server
      self.usn = usn
    }

    /// `nil`: not an Internet gateway's answer.
    init?(_ bytes: [UInt8]) {
      guard bytes.count <= 4096, let text = String(validating: bytes, as: UTF8.self) else { return nil }
      let lines = text.split(separator: "\r\n", maxSplits: 64)
      guard lines.first?.hasPrefix("HTTP/1.1 200") == true || lines.first?.hasPrefix("HTTP/1.0 200") == true else {
        return nil
      }
      var fields: [String: String] = [:]
      for line in lines.dropFirst() {
        guard let colon = line.firstIndex(of: ":") else { continue }
        let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
        fields[line[..<colon].lowercased()] = fields[line[..<colon].lowercased()] ?? String(value)
      }
      let usn = fields["usn"] ?? ""
      guard [usn, fields["st"] ?? ""].contains(where: { $0.contains(":InternetGatewayDevice:") }),
        let location = fields["location"], !location.isEmpty
      else { return nil }
      self.init(location: location, server: fields["server"] ?? "", usn: usn)
    }
  }

  /// The newest kind of device first, and each place once.
  static func sorted(_ answers: [Answer]) -> [Answer] {
    var seen = Set<[String]>()
    return answers.sorted { $0.usn > $1.usn }.filter { seen.insert([$0.location, $0.server]).inserted }
  }
}
