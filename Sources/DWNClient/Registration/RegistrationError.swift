public import DWN

/// Why a DID is no tenant of a node yet, and what would make it one.
public enum RegistrationError: Error, Hashable, Sendable, CustomStringConvertible {
  case endpoint(EndpointError)
  /// The node has terms, and nobody has agreed to them.
  case termsNotAccepted(name: String)
  /// Something that this program cannot do for its user, such as an account.
  case unsupported(name: String, NodeInformation.Requirement)
  case workNotDone(name: String, seconds: Int)
  case refused(name: String, reason: String)

  public var description: String {
    switch self {
    case .endpoint(let error): error.description
    case .termsNotAccepted(let name):
      "\(name) has terms of service: read them at \(name)/registration/terms-of-service, and agree with --accept-terms"
    case .unsupported(let name, let requirement):
      "\(name) asks for \(requirement), which this program cannot give: use another node, or have its operator add a tenant"
    case .workNotDone(let name, let seconds):
      "\(name) asks for more proof of work than this machine could do in \(seconds) s"
    case .refused(let name, let reason): "\(name) refuses the registration: \(reason)"
    }
  }
}
