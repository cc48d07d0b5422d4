import Cryptography
import Identity
import Synchronization
import Wire

/// Knows who is a tenant, and lets those in who do what it takes. Who registered stays registered: the store keeps it.
final class TenantGate: Sendable {
  private struct State {
    /// By DID, the hash of the terms that were agreed to. `nil` until the store was asked.
    var registered: [DID: String?]?
    /// Whose registration is on its way into the store.
    var arriving: Set<DID> = []
    var proofOfWork: ProofOfWork?
  }

  let tenancy: Tenancy
  private let store: any MessageStore
  private let termsHash: String?
  private let mostTenants: Int?
  private let state: Mutex<State>

  /// `mostTenants`: who may have registered.
  init(
    _ tenancy: Tenancy, store: any MessageStore, mostTenants: Int? = nil, random: any RandomSource = SystemRandom(),
    now: Instant = .now()
  ) {
    self.tenancy = tenancy
    self.store = store
    self.mostTenants = mostTenants
    termsHash = tenancy.requirements?.terms.map { Hex.encode(SHA2.sha256(Array($0.utf8))) }
    state = Mutex(
      State(
        proofOfWork: tenancy.requirements.map { ProofOfWork(easiest: $0.easiest, random: random, now: now) }))
  }

  /// Why a DID is no tenant; `nil` if it is one.
  func refusal(of did: DID) async throws -> String? {
    switch tenancy {
    case .open: return nil
    case .listed(let named): return named.contains(did) ? nil : Self.unknown
    case .kept(let list): return list.contains(did) ? nil : Self.unknown
    case .registered(_, let named):
      if named.contains(did) { return nil }
      guard let agreed = try await registrations()[did] else { return Self.unknown }
      return agreed == termsHash || termsHash == nil ? nil : "Agreed terms-of-service is outdated."
    }
  }

  /// Whether a DID can be one at all, as far as that costs nothing to say.
  func mayServe(_ did: DID) -> Bool {
    switch tenancy {
    case .open: true
    case .listed(let named): named.contains(did)
    case .kept(let list): list.contains(did)
    case .registered(_, let named):
      named.contains(did) || state.withLock { $0.registered.map { $0.keys.contains(did) } ?? true }
    }
  }

  /// The challenge to solve; `nil` where nobody registers.
  func challenge(now: Instant) -> ProofOfWork.Challenge? {
    state.withLock { $0.proofOfWork?.challenge(now: now) }
  }

  /// Takes `{registrationData: {did, termsOfServiceHash?}, proofOfWork: {challengeNonce, responseNonce}}`.
  func register(_ json: JSONValue, at time: WallTime, now: Instant) async throws {
    guard let data = json["registrationData"], let did = data["did"]?.string.flatMap({ DID($0) }) else {
      throw RegistrationRefusal("RegistrationManagerInvalidRegistrationData", "registrationData.did must be a DID")
    }
    let agreed = data["termsOfServiceHash"]?.string
    guard termsHash == nil || agreed?.lowercased() == termsHash else {
      throw RegistrationRefusal(
        "RegistrationManagerInvalidOrOutdatedTermsOfServiceHash",
        "termsOfServiceHash is the SHA-256 of /registration/terms-of-service, in hexadecimal")
    }
    // Who is asked for work gets something for it.
    try await checkRoom(for: did)
    let proof = json["proofOfWork"]
    let (challenge, response) = (proof?["challengeNonce"]?.string ?? "", proof?["responseNonce"]?.string ?? "")
    let outcome = state.withLock { state -> Result<Void, RegistrationRefusal> in
      do throws(RegistrationRefusal) {
        try state.proofOfWork?.take(
          challenge: challenge, response: response, registration: data.encoded, now: now)
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    try outcome.get()
    try await checkRoom(for: did, taking: true)
    defer { state.withLock { _ = $0.arriving.remove(did) } }
    try await store.register(TenantRegistration(tenant: did, termsHash: termsHash, registeredAt: time))
    state.withLock { $0.registered?[did] = .some(termsHash) }
  }

  /// `taking` the place, until it is no longer among those who arrive.
  private func checkRoom(for did: DID, taking: Bool = false) async throws {
    let registered = try await registrations()
    let hasRoom = state.withLock { state in
      let known = state.registered ?? registered
      let others = state.arriving.filter { $0 != did && known[$0] == nil }
      guard known[did] != nil || mostTenants.map({ known.count + others.count < $0 }) ?? true else { return false }
      if taking { state.arriving.insert(did) }
      return true
    }
    guard let mostTenants, !hasRoom else { return }
    throw RegistrationRefusal(
      "RegistrationManagerTenantLimitReached", "this node has as many tenants as it may: \(mostTenants)")
  }

  private static let unknown = "Not a registered tenant."

  private func registrations() async throws -> [DID: String?] {
    if let registered = state.withLock({ $0.registered }) { return registered }
    let stored = try await store.registrations().map { ($0.tenant, $0.termsHash) }
    return state.withLock { state in
      let registered = Dictionary(stored) { $1 }.merging(state.registered ?? [:]) { $1 }
      state.registered = registered
      return registered
    }
  }
}
