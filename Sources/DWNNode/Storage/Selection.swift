import DWN
import Identity
import Wire

/// Which messages a read or a query may find, and in what order.
struct Selection: Sendable {
  /// Who may see what among the matches.
  enum Visibility: Hashable, Sendable {
    case all
    case published
    /// Published records, and unpublished ones that the requester wrote or received.
    case publishedAndOwn(DID)
  }

  /// `$recordLimit` with the strategy to reject.
  struct Occupancy: Hashable, Sendable {
    var protocolURI: String
    var path: ProtocolPath
    var maximum: Int
  }

  var filter: RecordsFilter
  var visibility: Visibility
  /// Whether records of the filter's path may stand deeper than the path has levels: below nested records of another protocol.
  var hangsDeeper = false
  /// Places with room for so many records below one parent; later ones are not shown.
  var occupancy: [Occupancy] = []
  /// Also the deletes that stand for ended records.
  var includesDeletes = false
  var sort: DateSort = .createdAscending
  /// Strictly after this position.
  var after: (value: String, cid: String)?
  var limit: Int?

  /// What makes up the visible, one kind of right after the other. A record may be in several.
  var arms: [SelectionArm] {
    switch visibility {
    case .all: [.everything]
    case .published: [.published]
    // A filter on publication leaves published records alone.
    case .publishedAndOwn where filter.published == true || filter.datePublished != nil: [.published]
    case .publishedAndOwn(let requester): [.published, .author(requester), .recipient(requester)]
    }
  }
}

/// One kind of right to see a record. Each has an index, so that what a stranger may not see costs nothing to leave out.
enum SelectionArm: Hashable, Sendable {
  case everything
  case published
  case author(DID)
  case recipient(DID)
}

extension DateSort {
  var isAscending: Bool {
    switch self {
    case .createdAscending, .publishedAscending, .updatedAscending: true
    case .createdDescending, .publishedDescending, .updatedDescending: false
    }
  }

  /// What a message is sorted by, before its CID.
  func value(of message: StoredMessage) -> String {
    switch self {
    case .createdAscending, .createdDescending: message.place?.dateCreated.timestamp ?? ""
    case .publishedAscending, .publishedDescending: message.datePublished?.timestamp ?? ""
    case .updatedAscending, .updatedDescending: message.timestamp.timestamp
    }
  }
}
