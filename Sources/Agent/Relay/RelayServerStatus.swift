import DWNClient
import Mesh
import Wire

/// The relay that this machine's daemon runs for its network, as `status` and `doctor` tell of it.
struct RelayServerStatus: Hashable, Sendable {
  var listeners: [SocketAddress]
  var stunPorts: [UInt16]
  /// Where others are told that it is; `nil`: nowhere.
  var offer: RelayOffer?
  /// Its number in the network's records; `nil`: they do not name it, and nobody uses it.
  var recordedAs: UInt16?
  /// Whether the records are this machine's to write. Those of a member's relay are the anchor's, which tries it first, or every reader's
  /// to judge.
  var isRecordedHere: Bool

  /// Why nobody can use it, as far as its addresses say. Known as soon as it listens.
  var addressProblem: String? {
    guard let offer else {
      return "this machine has no address under which others reach its relay: "
        + "give one with 'meshd up --relay-advertise HOST'"
    }
    guard !isRecordedHere, offer.limited(to: PublicAddresses.contains) == nil else { return nil }
    return "the relay of this machine has no public address, and is not used without one: "
      + "give it with 'meshd up --relay-advertise HOST'"
  }

  /// Why nobody uses it.
  var problem: String? {
    guard recordedAs == nil else { return nil }
    if let addressProblem { return addressProblem }
    return isRecordedHere
      ? "it is not in the records yet"
      : "the machine that created the network has not recorded it: it does once it is there and reaches "
        + "\(places.joined(separator: " or ")) over TCP ('meshd status' there says why it does not)"
  }

  /// `HOST:PORT`, as others are told.
  private var places: [String] { offer?.places ?? [] }

  var json: JSONValue {
    var object: JSONObject = [
      "listen": .array(listeners.map { .string("\($0)") }), "stunPorts": .array(stunPorts.map { .integer(Int64($0)) }),
      "advertise": .array(places.map { .string($0) }),
    ]
    object["recordedAs"] = recordedAs.map { .integer(Int64($0)) }
    object["problem"] = problem.map { .string($0) }
    return .object(object)
  }
}
