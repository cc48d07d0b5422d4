/// What a node has room for, all its tenants together. It holds for what others send and for tenants who are not named; those who
/// are go on writing.
public struct NodeBounds: Hashable, Sendable {
  /// Bytes of all messages and their data. `nil`: as many as there is disk for.
  public var total: Int?
  /// Tenants who are not named.
  public var tenants: Int?
  /// Bytes of the disk that stay free for the tenants who are named.
  public var freeDisk: Int

  /// What is left of a disk unless somebody says otherwise.
  public static let usualFreeDisk = 256 << 20

  public init(total: Int? = nil, tenants: Int? = nil, freeDisk: Int = 0) {
    self.total = total
    self.tenants = tenants
    self.freeDisk = freeDisk
  }
}
