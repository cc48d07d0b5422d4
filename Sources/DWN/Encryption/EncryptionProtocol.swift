public import Wire

/// The protocol of grant keys. It is built into every node and never installed (dwn-messages 10.7).
public enum EncryptionProtocol {
  public static let uri = GrantKey.protocolURI

  /// Anyone may write a key; that it comes from whoever gave the grant, and goes to its holder, is `GrantKey`'s to check. It stands
  /// at a path of its own where newer wallets write it in a wrapping.
  public static let definitionJSON: JSONValue = [
    "protocol": .string(uri), "published": true,
    "types": ["grantKey": type, "wrappedGrantKey": type],
    "structure": ["grantKey": rules("grantKey"), "wrappedGrantKey": rules("wrappedGrantKey")],
  ]

  /// Throws only if `definitionJSON` contradicts itself.
  public static func definition() throws(DWNError) -> ProtocolDefinition { try ProtocolDefinition(definitionJSON) }

  private static let type: JSONValue = ["schema": .string(GrantKey.schema), "dataFormats": ["application/json"]]

  private static func rules(_ path: String) -> JSONValue {
    [
      "$immutable": true, "$size": ["max": .integer(Int64(EncryptionControl.maximumDataSize))],
      "$actions": [
        ["who": "anyone", "can": ["create"]],
        ["who": "recipient", "of": .string(path), "can": ["read"]],
      ],
    ]
  }
}
