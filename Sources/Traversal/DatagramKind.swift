/// What a datagram on the engine's socket is, by its first bytes (`traversal.md`, 1). It proves nothing.
public enum DatagramKind: Hashable, Sendable {
  case stun
  case disco
  /// With the header of a relay over UDP (Geneve), which this version does not speak.
  case relayed
  /// Everything else.
  case wireGuard

  private static let geneveDisco: [UInt8] = [0x7a, 0x11]
  private static let geneveWireGuard: [UInt8] = [0x7a, 0x12]
  /// Magic and the sender's key.
  private static let shortestDisco = 38

  public init(_ bytes: some RandomAccessCollection<UInt8>) {
    func at(_ offset: Int) -> UInt8 { bytes[bytes.index(bytes.startIndex, offsetBy: offset)] }
    if bytes.count >= 20, at(0) & 0xc0 == 0, at(1) == 1, bytes.dropFirst(4).starts(with: [0x21, 0x12, 0xa4, 0x42]) {
      self = .stun
    } else if bytes.count >= 8, at(0) & 0xc0 == 0, at(1) & 0x3f == 0, at(7) == 0,
      DatagramKind.isRelayed(bytes.dropFirst(2).prefix(2), payload: bytes.dropFirst(8))
    {
      self = .relayed
    } else if DatagramKind.isDisco(bytes) {
      self = .disco
    } else {
      self = .wireGuard
    }
  }

  private static func isDisco(_ bytes: some RandomAccessCollection<UInt8>) -> Bool {
    bytes.count >= shortestDisco && bytes.starts(with: DiscoEnvelope.magic)
  }

  private static func isRelayed(
    _ protocolField: some RandomAccessCollection<UInt8>, payload: some RandomAccessCollection<UInt8>
  ) -> Bool {
    protocolField.elementsEqual(geneveWireGuard) || (protocolField.elementsEqual(geneveDisco) && isDisco(payload))
  }
}
