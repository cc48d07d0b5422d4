import DWN
import Wire

/// A message as it is kept: its JSON text and its data, verbatim, under the name that its signed payload gives it.
public struct StoredMessage: Hashable, Sendable {
  /// `SignedMessage.element`: unique, and the key under which a store keeps it.
  public var element: String
  /// The JSON text of the message, without data and without members of a reply.
  public var json: [UInt8]
  /// `nil` for a delete, a definition, and an initial write that only accompanies a newer write of its record.
  public var data: [UInt8]?

  public init(element: String, json: [UInt8], data: [UInt8]?) {
    self.element = element
    self.json = json
    self.data = data
  }

  init(_ signed: SignedMessage, data: [UInt8]?) {
    self.init(element: signed.element, json: signed.message.value.encoded, data: data)
  }
}
