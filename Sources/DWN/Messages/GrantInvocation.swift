import Wire

/// How a message names the grants that it uses: twice, in its descriptor and in what its author signed (dwn-messages 4.2).
enum GrantInvocation {
  /// Most grants that one message may name.
  static let limit = 100

  /// `permissionGrantIds`: throws status 400 unless it is a list that is not empty, ascending and without repetition.
  static func list(_ json: JSONValue) throws(DWNError) -> [RecordID]? {
    guard let items = json.array, items.count <= limit else { return nil }
    guard !items.isEmpty else {
      throw DWNError(400, "MessagePermissionGrantIdsEmpty", "permissionGrantIds names at least one grant")
    }
    let ids = items.compactMap { $0.string.flatMap { RecordID($0) } }
    guard ids.count == items.count else { return nil }
    guard zip(ids, ids.dropFirst()).allSatisfy({ $0.0 < $0.1 }) else {
      throw DWNError(
        400, "MessagePermissionGrantIdsNotCanonical", "permissionGrantIds must be ascending and name no grant twice")
    }
    return ids
  }

  /// Whether descriptor and signed payload name the same grants.
  static func check(_ body: MessageBody, _ payload: SignaturePayload) throws(DWNError) {
    guard payload.permissionGrantID == body.permissionGrantID?.text else {
      throw DWNError(
        400, "MessagePermissionGrantDescriptorPayloadMismatch",
        "permissionGrantId is not the same in the descriptor and in the signed payload")
    }
    guard payload.permissionGrantIDs ?? [] == body.permissionGrantIDs.map(\.text) else {
      throw DWNError(
        400, "MessagePermissionGrantIdsDescriptorPayloadMismatch",
        "permissionGrantIds are not the same in the descriptor and in the signed payload")
    }
  }
}
