import Identity
import Mesh
public import Wire

/// The policy in force, and what this version makes of it: what `acl show` prints.
public struct PolicyReport: Hashable, Sendable {
  /// As the anchor wrote it; `nil` when there is none that can be read.
  public var policy: JSONValue?
  public var note: String
  /// What is accepted whatever the policy says, for people.
  public var always: [String] = []
}

extension DWNControlPlane {
  public func policyReport() -> PolicyReport {
    var report = policyAlone
    guard let view, var node = MeshEndpoint(view) else { return report }
    if isAnchor {
      guard let port = configuration.nodePort else { return report }
      node = MeshEndpoint(address: node.address, port: port)
    }
    report.always.append(
      "TCP from every machine of this network to \(SocketAddress(node.address, port: node.port)), the anchor's node")
    return report
  }

  private var policyAlone: PolicyReport {
    switch view?.policy {
    case .accepted(let policy):
      let note =
        switch policy.meaning {
        case .acceptsAll: "In force: all traffic between the machines of this network is accepted."
        case .deniesAll: "In force: all traffic is denied."
        case .notEvaluated: "This version does not evaluate the rules of this policy, and denies all traffic instead."
        }
      return PolicyReport(policy: policy.json, note: note)
    case .missing where !network.envelope.hasHeads:
      return PolicyReport(
        note: "The network has no policy, which with encryption v1 means: all traffic between its machines is accepted."
      )
    case .missing: return PolicyReport(note: "The anchor's records hold no policy: all traffic is denied.")
    case .unusable(let reason):
      return PolicyReport(note: "The policy cannot be read (\(reason)): all traffic is denied.")
    case nil: return PolicyReport(note: "No state of the network was accepted yet: all traffic is denied.")
    }
  }
}
