import CSodium

/// Secret bytes in one place: wiped when dropped, never printed, compared in constant time.
///
/// A class, so that copies of the value share the one buffer instead of scattering it.
public final class SecretBytes: @unchecked Sendable {
  // Written once in `init`, wiped in `deinit`, and only read between: safe to share.
  private let storage: UnsafeMutableRawBufferPointer

  public init(_ bytes: some Collection<UInt8>) {
    storage = .allocate(byteCount: bytes.count, alignment: 16)
    storage.copyBytes(from: bytes)
  }

  /// Lets `body` fill the new secret.
  public init(count: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
    storage = .allocate(byteCount: count, alignment: 16)
    storage.initializeMemory(as: UInt8.self, repeating: 0)
    try body(storage)
  }

  deinit {
    if let base = storage.baseAddress { sodium_memzero(base, storage.count) }
    storage.deallocate()
  }

  public var count: Int { storage.count }

  public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try body(UnsafeRawBufferPointer(storage))
  }

  /// A plain copy, which nobody wipes: for handing to an interface that takes arrays, and for writing to a protected file.
  public func copy() -> [UInt8] { Array(storage) }
}

extension SecretBytes: Equatable {
  public static func == (a: SecretBytes, b: SecretBytes) -> Bool {
    a.withUnsafeBytes { left in b.withUnsafeBytes { right in ConstantTime.equal(left, right) } }
  }
}

extension SecretBytes: CustomStringConvertible, CustomReflectable {
  public var description: String { "<\(count) secret bytes>" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}

public enum ConstantTime {
  /// Takes a time that depends on the lengths alone.
  public static func equal(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    guard a.count == b.count else { return false }
    guard a.count > 0 else { return true }
    return sodium_memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0
  }

  public static func equal(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    a.withUnsafeBytes { left in b.withUnsafeBytes { right in equal(left, right) } }
  }
}

/// Overwrites an array that held a secret. The array must not be shared, or only this copy is wiped.
public func wipe(_ bytes: inout [UInt8]) {
  bytes.withUnsafeMutableBytes { if let base = $0.baseAddress { sodium_memzero(base, $0.count) } }
}

/// libsodium must be initialised once before use: until then it runs its portable code, several times slower.
enum Sodium {
  static let ready: Void = precondition(sodium_init() >= 0, "libsodium could not be initialised")
}
