import CSodium
import Cryptography
import Wire

/// Sealing and opening packets with `PacketCipher`, beside libsodium's implementation of the same cipher.
///
/// The sizes are those of a small packet and of a full one in a tunnel with an MTU of 1420.
struct PacketSealing: Benchmark {
  let title = "packets sealed and opened with ChaCha20-Poly1305, one core"

  func figures(_ effort: Effort) -> [Figure] { [64, 1420].flatMap(figures(size:)) }

  private func figures(size: Int) -> [Figure] {
    // Before this libsodium uses its portable code, which would flatter us.
    precondition(sodium_init() >= 0)
    let key = SystemRandom().bytes(32)
    let held = HeldCipher(SecretBytes(key))
    let sealedSize = size + PacketCipher.tagLength
    let plain = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
    let sealed = UnsafeMutableRawPointer.allocate(byteCount: sealedSize, alignment: 64)
    let room = UnsafeMutableRawPointer.allocate(byteCount: sealedSize, alignment: 64)
    defer {
      for buffer in [plain, sealed, room] { buffer.deallocate() }
    }
    plain.initializeMemory(as: UInt8.self, repeating: 0x5a, count: size)
    held.cipher.seal(plain, count: size, counter: 0, into: sealed)
    let nonce = [UInt8](repeating: 0, count: 12)

    // Opening in place destroys the packet, so both copy it in first, as a receive call would.
    let rates = Interleaving.rates([
      Contender(name: "seal") { count in
        for counter in 0..<count { held.cipher.seal(plain, count: size, counter: UInt64(counter), into: room) }
      },
      Contender(name: "seal, libsodium") { count in
        for _ in 0..<count {
          use(
            crypto_aead_chacha20poly1305_ietf_encrypt(
              room.assumingMemoryBound(to: UInt8.self), nil, plain.assumingMemoryBound(to: UInt8.self),
              UInt64(size), nil, 0, nil, nonce, key))
        }
      },
      Contender(name: "open") { count in
        for _ in 0..<count {
          room.copyMemory(from: sealed, byteCount: sealedSize)
          precondition(held.cipher.open(room, count: sealedSize, counter: 0))
        }
      },
      Contender(name: "open, libsodium") { count in
        for _ in 0..<count {
          room.copyMemory(from: sealed, byteCount: sealedSize)
          precondition(
            crypto_aead_chacha20poly1305_ietf_decrypt(
              room.assumingMemoryBound(to: UInt8.self), nil, nil, room.assumingMemoryBound(to: UInt8.self),
              UInt64(sealedSize), nil, 0, nonce, key) == 0)
        }
      },
    ])
    let sodiumSeal = Figure("seal \(size) B, libsodium", rates[1], "packets/s")
    let sodiumOpen = Figure("open \(size) B, libsodium", rates[3], "packets/s")
    return [
      Figure("seal \(size) B", rates[0], versus: sodiumSeal), sodiumSeal,
      Figure("open \(size) B", rates[2], versus: sodiumOpen), sodiumOpen,
    ]
  }
}

extension PacketSealing {
  /// What sealing and opening a gigabit in packets of this size costs, without the copy that brings a packet there.
  static func secondsPerGigabit(packet size: Int) -> Double {
    let held = HeldCipher(SecretBytes(SystemRandom().bytes(32)))
    let sealedSize = size + PacketCipher.tagLength
    let room = UnsafeMutableRawPointer.allocate(byteCount: sealedSize, alignment: 64)
    defer { room.deallocate() }
    room.initializeMemory(as: UInt8.self, repeating: 0x5a, count: sealedSize)
    // In place, each end's counter following the other's, so that every packet opens.
    let rates = Interleaving.rates(
      [
        Contender(name: "seal and open") { count in
          for counter in 0..<count {
            held.cipher.seal(room, count: size, counter: UInt64(counter), into: room)
            precondition(held.cipher.open(room, count: sealedSize, counter: UInt64(counter)))
          }
        }
      ], rounds: 3)
    return 1 / rates[0] / (Double(size) * 8 / 1e9)
  }
}

/// A cipher that closures can hold: it cannot be copied, and they share it.
private final class HeldCipher {
  let cipher: PacketCipher

  init(_ key: SecretBytes) { cipher = PacketCipher(key: key) }
}
