public import Identity

extension DIDDocument {
  /// Where the DID's owner says that its DWNs are, in the owner's order. Only texts: nothing says yet that they are URLs.
  public var dwnEndpoints: [String] {
    services.filter { $0.types.contains("DecentralizedWebNode") }.flatMap(\.endpoints)
  }
}
