import Wire

/// What a command says of how far its change has come on its way to the nodes.
enum PublicationText {
  static func tell(_ result: JSONValue, indent: String = "") {
    let unpublished = (result["unpublished"]?.array ?? []).compactMap(\.string)
    for sentence in unpublished { print("\(indent)\(sentence)") }
    if !unpublished.isEmpty {
      print("\(indent)It is sent again while 'meshd up' runs, and by the next command of this kind.")
    } else if result["published"]?.bool == false {
      print("\(indent)Nothing is published yet: that happens while 'meshd up' runs.")
    }
  }
}
