import DWN

/// The index that a query begins with.
///
/// SQLite would choose by counting columns, and would walk a million records of a path where one author wrote three. Here the choice
/// is ours, so that a query costs what it finds: the narrowest condition first, and the order of the answer for free if an index
/// has it.
enum SelectionIndex: Hashable {
  case named(String)
  /// The rows that have a tag with a value, found in the table of tags.
  case tag(name: String)

  init(_ selection: Selection, _ arm: SelectionArm) {
    let filter = selection.filter
    if filter.recordID != nil {
      self = .named("message_record")
    } else if filter.dataCID != nil {
      self = .named("message_data")
    } else if case .author = arm {
      self = .named("message_author")
    } else if case .recipient = arm {
      self = .named("message_recipient")
    } else if filter.contextID != nil || filter.parentID != nil {
      self = .named(Self.within(selection))
    } else if let tag = filter.tags.filter({ $0.value.isEquality }).keys.min() {
      self = .tag(name: tag)
    } else {
      self = .named(Self.broad(selection, arm))
    }
  }

  /// For records of one subtree.
  private static func within(_ selection: Selection) -> String {
    let filter = selection.filter
    if filter.contextAbove(hangsDeeper: selection.hangsDeeper) != nil {
      let hasOneParent = filter.parentPlace(hangsDeeper: selection.hangsDeeper) != nil
      return hasOneParent && selection.sort.isByUpdate ? "message_siblings" : "message_place"
    }
    return filter.contextID != nil ? "message_context" : "message_parent"
  }

  private static func broad(_ selection: Selection, _ arm: SelectionArm) -> String {
    let filter = selection.filter
    if !filter.recipient.isEmpty { return "message_recipient" }
    if !filter.author.isEmpty { return "message_author" }
    if filter.schema != nil { return "message_schema" }
    if filter.protocolURI != nil {
      if arm == .published { return "message_public" }
      return filter.path == nil ? "message_protocol" : "message_path"
    }
    if selection.sort.isByPublication || arm == .published { return "message_published" }
    return selection.sort.isByUpdate ? "message_updated" : "message_created"
  }
}

extension RecordsFilter {
  /// The context above all matches, if the filter names a protocol, a path, and a context that lies higher: then the places that
  /// an index has in order are those wanted, in their context the parents.
  ///
  /// With `hangsDeeper`, records of the path may have longer contexts than the path has levels.
  func contextAbove(hangsDeeper: Bool) -> ContextID? {
    guard protocolURI != nil, let path, !path.isControl, let contextID, contextID.depth < path.depth else { return nil }
    // Whether it is the parent or further up, nobody knows.
    if hangsDeeper, contextID.depth + 1 == path.depth { return nil }
    return contextID
  }

  /// The parent below which all matches stand, if the filter says so.
  func parentPlace(hangsDeeper: Bool) -> ContextID? {
    contextAbove(hangsDeeper: hangsDeeper).flatMap { $0.depth + 1 == path?.depth ? $0 : nil }
  }
}

extension RecordsFilter.TagFilter {
  var isEquality: Bool { if case .equals = self { true } else { false } }
}

extension DateSort {
  var isByUpdate: Bool { self == .updatedAscending || self == .updatedDescending }
  var isByPublication: Bool { self == .publishedAscending || self == .publishedDescending }
}
