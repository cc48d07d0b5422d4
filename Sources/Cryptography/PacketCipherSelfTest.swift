extension PacketCipher {
  /// Whether this machine's implementation gives what others give: on each size class of packets, sealing makes the known
  /// tag, opening brings the packet back, and a packet or a tag that was changed is refused.
  ///
  /// The implementation chooses its code by what the processor has, so what passed a test elsewhere proves nothing here.
  /// Takes some microseconds; ask before the first packet.
  public static var passesSelfTest: Bool { knownTags.allSatisfy { passes(length: $0, tag: $1) } }

  /// Made with libsodium: the tags of the bytes (7i + 3) mod 256, for the key 80 81 … 9f and the counter below, by length. The
  /// lengths end within a block of each width that implementations work in.
  private static let knownTags: [(length: Int, tag: UInt128)] = [
    (0, 0x2800_60e2_7d0d_3581_cc4b_8f43_b83b_e7f9),
    (1, 0x2516_b0e1_ad26_ef0c_abdc_e3c7_11af_3cd4),
    (64, 0x8726_cb47_defe_fab1_cf6c_6b50_d48d_bf93),
    (255, 0xd2ee_a344_cdfa_8f8f_39f0_0a7e_27e6_5cca),
    (1420, 0x8d2e_1c6e_3f9e_30c1_01ea_6dc4_baa2_2535),
    (9000, 0xa632_623e_ea6d_c185_e063_6f12_f09a_4e01),
  ]

  private static func passes(length: Int, tag: UInt128) -> Bool {
    let counter: UInt64 = 0x0123_4567_89ab_cdef
    let cipher = PacketCipher(key: SecretBytes((0x80..<0xa0).map { UInt8($0) }))
    let packet = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 3) }
    var buffer = packet + [UInt8](repeating: 0, count: tagLength)
    return buffer.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return false }
      cipher.seal(base, count: length, counter: counter, into: base)
      guard UInt128(bigEndian: base.loadUnaligned(fromByteOffset: length, as: UInt128.self)) == tag else {
        return false
      }
      let sealed = Array(bytes)
      guard cipher.open(base, count: sealed.count, counter: counter), bytes.prefix(length).elementsEqual(packet) else {
        return false
      }
      // Opening spoils what it refuses.
      for changed in Set([0, length / 2, length, length + tagLength - 1]) {
        bytes.copyBytes(from: sealed)
        bytes[changed] ^= 1
        if cipher.open(base, count: sealed.count, counter: counter) { return false }
      }
      return true
    }
  }
}
