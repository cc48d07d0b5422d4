import Testing
import TestSupport
import Wire

@Suite("Bytes")
struct BytesTests {
  @Test("fields come back in the order and the byte order in which they were written")
  func roundTrip() throws {
    var writer = ByteWriter()
    writer.append(byte: 7)
    writer.bigEndian(UInt16(0x0102))
    writer.littleEndian(UInt32(0x0304_0506))
    writer.bigEndian(UInt64(0x0708_090a_0b0c_0d0e))
    writer.append([1, 2, 3])
    #expect(Hex.encode(writer.bytes) == "070102060504030708090a0b0c0d0e010203")
    var reader = ByteReader(writer.bytes)
    #expect(try reader.uint8() == 7)
    #expect(try reader.bigEndian(UInt16.self) == 0x0102)
    #expect(try reader.littleEndian(UInt32.self) == 0x0304_0506)
    #expect(try reader.bigEndian(UInt64.self) == 0x0708_090a_0b0c_0d0e)
    try reader.skip(1)
    #expect(reader.rest() == [2, 3])
    #expect(reader.isAtEnd)
  }

  @Test("a field that is not all there is an error and takes nothing")
  func truncated() {
    var reader = ByteReader([1, 2, 3][1...])
    #expect(throws: ByteReader.Truncated.self) { try reader.bigEndian(UInt32.self) }
    #expect(throws: ByteReader.Truncated.self) { try reader.bytes(3) }
    #expect(throws: ByteReader.Truncated.self) { try reader.bytes(-1) }
    #expect(throws: ByteReader.Truncated.self) { try reader.skip(.max) }
    #expect(reader.remaining == 2)
    #expect(reader.rest() == [2, 3])
    #expect(throws: ByteReader.Truncated.self) { try reader.uint8() }
  }

  @Test("a choice below a bound is always below it and reaches every value")
  func uniform() {
    let random = SeededRandom(.random(in: 0...(.max)))
    for bound in 1...9 as ClosedRange<UInt64> {
      let seen = Set((0..<500).map { _ in random.uniform(below: bound) })
      #expect(seen == Set(0..<bound), "seed \(random.seed)")
    }
  }

  @Test("the system's generator fills any count")
  func system() {
    #expect(SystemRandom().bytes(0).isEmpty)
    #expect(Set(SystemRandom().bytes(1000)).count > 200)
  }
}
