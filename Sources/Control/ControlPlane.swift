public import Netmap
import Wire

/// Something that knows who belongs to a network and tells the engine by netmaps. The mesh's records are one; a coordination
/// server can be another.
public protocol ControlPlane: Sendable {
  /// The newest netmap, whenever it differs from the one before. For one reader.
  var netmaps: AsyncStream<Netmap> { get }

  /// Works until the task is cancelled.
  func run() async

  /// How this machine can be reached; published for the others.
  func setReach(_ reach: Reach) async

  /// Asks again at once. The reason is for the log.
  func refresh(reason: String) async

  func status() async -> ControlStatus
}
