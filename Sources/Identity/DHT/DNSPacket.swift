import Wire

/// The answers of a DNS message (RFC 1035 section 4) that are texts: what a `did:dht` is written in.
///
/// | bytes | what |
/// |---|---|
/// | 12 | header; the counts of questions, answers, authorities and additions are its last four words |
/// | … | questions: name, type (2), class (2) |
/// | … | answers: name, type (2), class (2), TTL (4), length (2), data |
struct DNSPacket: Hashable, Sendable {
  struct TextRecord: Hashable, Sendable {
    /// In lower case, without the dot at the end.
    var name: String
    /// The strings of the record, joined.
    var text: String
    /// Seconds.
    var timeToLive: UInt32 = 7200
  }

  /// Why bytes are no such packet, or records fit none.
  enum Invalid: Error, Hashable {
    case truncated
    case name
    case text
    case count
    case trailing
  }

  var records: [TextRecord]

  static let maximumRecords = 128
  private static let textType: UInt16 = 16
  private static let internetClass: UInt16 = 1

  init(records: [TextRecord]) {
    self.records = records
  }

  /// Records of other types are left out.
  init(parsing bytes: [UInt8]) throws(Invalid) {
    records = []
    do {
      var reader = ByteReader(bytes)
      try reader.skip(4)
      let questions: UInt16 = try reader.bigEndian()
      let answers: UInt16 = try reader.bigEndian()
      let others: UInt32 = try reader.bigEndian()
      guard questions <= 4, answers <= Self.maximumRecords else { throw Invalid.count }
      for _ in 0..<questions {
        _ = try Self.name(&reader, in: bytes)
        try reader.skip(4)
      }
      for _ in 0..<answers {
        let name = try Self.name(&reader, in: bytes)
        let type: UInt16 = try reader.bigEndian()
        let space: UInt16 = try reader.bigEndian()
        let timeToLive: UInt32 = try reader.bigEndian()
        let data = try reader.bytes(Int(try reader.bigEndian(UInt16.self)))
        guard type == Self.textType, space == Self.internetClass else { continue }
        records.append(TextRecord(name: name, text: try Self.text(data), timeToLive: timeToLive))
      }
      // Authorities and additions say nothing here, and are not read.
      guard reader.isAtEnd || others > 0 else { throw Invalid.trailing }
    } catch let invalid as Invalid {
      throw invalid
    } catch {
      throw .truncated
    }
  }

  /// A name, which may end in a pointer to an earlier one. Every jump leads further back than the one before, so that there is no
  /// loop to fall into.
  private static func name(_ reader: inout ByteReader, in bytes: [UInt8]) throws -> String {
    var labels: [String] = []
    var length = 0
    var earliest = bytes.count - reader.remaining
    var elsewhere: ByteReader?
    while true {
      func next() throws -> UInt8 { try elsewhere == nil ? reader.uint8() : elsewhere!.uint8() }
      let count = try next()
      switch count >> 6 {
      case 0 where count == 0:
        return labels.joined(separator: ".")
      case 0:
        let label = try elsewhere == nil ? reader.bytes(Int(count)) : elsewhere!.bytes(Int(count))
        length += label.count + 1
        guard length < 255, label.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: ".") }) else {
          throw Invalid.name
        }
        labels.append(String(decoding: label, as: UTF8.self).lowercased())
      case 3:
        let target = Int(count & 0x3f) << 8 | Int(try next())
        guard target < earliest, target >= 12 else { throw Invalid.name }
        earliest = target
        var jumped = ByteReader(bytes)
        try jumped.skip(target)
        elsewhere = jumped
      default: throw Invalid.name
      }
    }
  }

  private static func text(_ data: [UInt8]) throws -> String {
    var reader = ByteReader(data)
    var text: [UInt8] = []
    while !reader.isAtEnd { text += try reader.bytes(Int(try reader.uint8())) }
    guard let text = String(validating: text, as: UTF8.self) else { throw Invalid.text }
    return text
  }

  /// An authoritative answer, with names compressed (RFC 1035 section 4.1.4).
  func encoded() throws(Invalid) -> [UInt8] {
    guard records.count <= Self.maximumRecords else { throw .count }
    var writer = ByteWriter()
    for word in [0, 0x8400, 0, UInt16(records.count), 0, 0] { writer.bigEndian(word) }
    var places: [String: Int] = [:]
    for record in records {
      try Self.write(record.name, to: &writer, &places)
      writer.bigEndian(Self.textType)
      writer.bigEndian(Self.internetClass)
      writer.bigEndian(record.timeToLive)
      let text = Array(record.text.utf8)
      let strings = stride(from: 0, to: max(text.count, 1), by: 255).map { text[$0..<min($0 + 255, text.count)] }
      let length = strings.reduce(0) { $0 + 1 + $1.count }
      guard let length = UInt16(exactly: length) else { throw .text }
      writer.bigEndian(length)
      for string in strings {
        writer.append(byte: UInt8(string.count))
        writer.append(string)
      }
    }
    return writer.bytes
  }

  private static func write(_ name: String, to writer: inout ByteWriter, _ places: inout [String: Int]) throws(Invalid)
  {
    guard name.utf8.count < 254 else { throw .name }
    var rest = name[...]
    while !rest.isEmpty {
      if let place = places[String(rest)] {
        writer.bigEndian(UInt16(0xc000 | place))
        return
      }
      if writer.bytes.count < 0x4000 { places[String(rest)] = writer.bytes.count }
      let label = rest.prefix { $0 != "." }
      guard (1...63).contains(label.utf8.count), label.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
        throw .name
      }
      writer.append(byte: UInt8(label.utf8.count))
      writer.append(label.utf8)
      rest = rest.dropFirst(label.count + 1)
    }
    writer.append(byte: 0)
  }
}
