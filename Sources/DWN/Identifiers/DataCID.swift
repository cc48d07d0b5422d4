import Cryptography

/// The CID of a record's data: what the UnixFS importer gives with chunks of 262,144 bytes, raw leaves, and a balanced tree of
/// at most 174 links a node. Data may come in pieces; what is held is one hash state and one entry for each open link.
public struct DataCID: Sendable {
  public static let chunkSize = 262_144
  public static let linksPerNode = 174

  private struct Link {
    var cid: [UInt8]
    /// Bytes of the whole subtree as encoded.
    var encodedSize: UInt64
    /// Bytes of data below.
    var dataSize: UInt64
  }

  private var leaf = SHA256Stream()
  private var leafSize = 0
  /// Levels of the tree from the leaves up; each holds fewer than 174 links that wait for their node.
  private var levels: [[Link]] = [[]]
  public private(set) var size: UInt64 = 0

  public init() {}

  public static func of(_ data: some Collection<UInt8>) -> CID {
    var hasher = DataCID()
    hasher.update(data)
    return hasher.finalize()
  }

  public mutating func update(_ data: some Collection<UInt8>) {
    var rest = data[...]
    while !rest.isEmpty {
      if leafSize == DataCID.chunkSize { closeLeaf() }
      let piece = rest.prefix(DataCID.chunkSize - leafSize)
      leaf.update(piece)
      leafSize += piece.count
      size += UInt64(piece.count)
      rest = rest.dropFirst(piece.count)
    }
  }

  public mutating func finalize() -> CID {
    if levels.count == 1, levels[0].isEmpty {
      return CID(codec: .raw, sha256: leaf.finalize())
    }
    closeLeaf()
    var level = 0
    while true {
      if level == levels.count - 1, levels[level].count == 1 {
        return CID(codec: .dagPB, sha256: Array(levels[level][0].cid.suffix(32)))
      }
      if !levels[level].isEmpty { closeNode(at: level) }
      level += 1
    }
  }

  private mutating func closeLeaf() {
    let cid = CID(codec: .raw, sha256: leaf.finalize())
    add(Link(cid: cid.bytes, encodedSize: UInt64(leafSize), dataSize: UInt64(leafSize)), at: 0)
    leaf = SHA256Stream()
    leafSize = 0
  }

  private mutating func add(_ link: Link, at level: Int) {
    if level == levels.count { levels.append([]) }
    if levels[level].count == DataCID.linksPerNode { closeNode(at: level) }
    levels[level].append(link)
  }

  /// Encodes the links of a level as one DAG-PB node: all links first, then the UnixFS data.
  private mutating func closeNode(at level: Int) {
    let links = levels[level]
    levels[level] = []
    var node: [UInt8] = []
    var file: [UInt8] = [0x08, 0x02, 0x18] + varint(links.reduce(0) { $0 + $1.dataSize })
    for link in links {
      let entry = [0x0a] + varint(UInt64(link.cid.count)) + link.cid + [0x12, 0x00, 0x18] + varint(link.encodedSize)
      node += [0x12] + varint(UInt64(entry.count)) + entry
      file += [0x20] + varint(link.dataSize)
    }
    node += [0x0a] + varint(UInt64(file.count)) + file
    let cid = CID(codec: .dagPB, sha256: SHA2.sha256(node))
    add(
      Link(
        cid: cid.bytes, encodedSize: UInt64(node.count) + links.reduce(0) { $0 + $1.encodedSize },
        dataSize: links.reduce(0) { $0 + $1.dataSize }), at: level + 1)
  }

  private func varint(_ value: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }
}
