import DWN

/// By what right a change was let in.
struct Admission: Sendable {
  /// Whose room it takes.
  var share: StoredMessage.Share
  /// With whose end it may have to go again.
  var grantID: RecordID?
}

extension StoredMessage {
  mutating func note(_ admission: Admission) {
    share = admission.share
    grantID = admission.grantID
  }
}
