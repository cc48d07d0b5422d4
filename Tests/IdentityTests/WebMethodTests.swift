import Identity
import TestSupport
import Testing
import Wire

@Suite("did:web")
struct WebMethodTests {
  private static let vectors = (try? Fixtures.json("dwn/parity/did/did-web-resolve.json"))?["vectors"]?.array ?? []

  @Test(
    "a DID asks for exactly the URL that other resolvers ask for, and what is there is its document",
    .enabled(if: Fixtures.have("dwn/parity/did/did-web-resolve.json"), "\(Fixtures.skipped)"), arguments: vectors)
  func location(vector: JSONValue) throws {
    let did = try #require(vector["input"]?["didUri"]?.string.flatMap { DID($0) })
    let served = try #require(vector["input"]?["mockServer"]?.object)
    let url = try WebMethod.location(of: did)
    #expect(served.names == [url])
    let document = try WebMethod.document(try #require(served[url]).encoded, of: did)
    #expect(document.id.text == vector["output"]?["didDocument"]?["id"]?.string)
  }

  @Test(
    "a host that is an address in any spelling, or no name, is refused",
    arguments: [
      "127.0.0.1", "2130706433", "0x7f000001", "127.1", "example.0x7f", "a..b", ".example", "example.", "-a.example",
      "a-.example", "a_b.example", "%5B%3A%3A1%5D", "example.com%40evil.example", "example.com%2F", "example.com%3A",
      "example.com%3A0", "example.com%3A65536", "example.com%3A80%3A80", "example.com%3A-1", "%3A80", "",
      String(repeating: "a", count: 64) + ".example", String(repeating: "a.", count: 127) + "a",
    ])
  func badHost(host: String) throws {
    guard let did = DID("did:web:\(host)") else { return }
    #expect(throws: DIDError.self) { try WebMethod.location(of: did) }
  }

  @Test(
    "a path that leaves its place is refused",
    arguments: [
      "example.com:", "example.com::a", "example.com:..", "example.com:.", "example.com:%2e%2E", "example.com:a%2Fb",
      "example.com:a%5cb", "example.com:a%", "example.com:a%2", "example.com:a%zz", "example.com:%00",
      "example.com:%20", "example.com:a%0d%0ahost",
    ])
  func badPath(id: String) throws {
    let did = try #require(DID("did:web:\(id)"))
    #expect(throws: DIDError.self) { try WebMethod.location(of: did) }
  }

  @Test("a path keeps its escapes, and the port its number")
  func escapes() throws {
    let did = try #require(DID("did:web:Example.com%3a8443:a%C3%A9:b"))
    #expect(try WebMethod.location(of: did) == "https://Example.com:8443/a%C3%A9/b/did.json")
  }
}

@Suite("DID documents")
struct DIDDocumentTests {
  private let did = DID("did:web:example.com")!

  private func read(_ text: String) throws -> DIDDocument {
    try DIDDocument(parsing: Array(text.utf8), of: did)
  }

  @Test("methods, relationships with embedded methods, and the services' endpoints are read")
  func whole() throws {
    let document = try read(
      """
      {"@context":["https://www.w3.org/ns/did/v1"],"id":"did:web:example.com","controller":"did:example:c","more":{"a":[1]},
       "verificationMethod":[
        {"id":"#k","type":"JsonWebKey2020","controller":"did:web:example.com",
         "publicKeyJwk":{"kty":"OKP","crv":"Ed25519","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}},
        {"id":"#m","type":"Multikey","publicKeyMultibase":"z6Mk"}],
       "authentication":["#k",{"id":"did:web:example.com#e","type":"JsonWebKey","controller":"did:example:c",
         "publicKeyJwk":{"kty":"OKP","crv":"X25519","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}}],
       "keyAgreement":["did:web:example.com#e"],
       "service":[
        {"id":"#dwn","type":"DecentralizedWebNode","serviceEndpoint":["https://a.example","https://b.example"]},
        {"id":"#old","type":["DecentralizedWebNode"],"serviceEndpoint":{"nodes":["https://c.example"]}},
        {"id":"#site","type":"LinkedDomains","serviceEndpoint":"https://d.example"}]}
      """)
    #expect(document.verificationMethods.map(\.id) == ["did:web:example.com#k", "did:web:example.com#e"])
    #expect(document.verificationMethods[0].controller == nil)
    #expect(document.authentication == ["did:web:example.com#k", "did:web:example.com#e"])
    #expect(document.assertionMethod.isEmpty)
    #expect(document.encryptionKey != nil)
    #expect(document.dwnEndpoints == ["https://a.example", "https://b.example", "https://c.example"])
    #expect(try DIDDocument(document.json, of: did) == document)
  }

  @Test(
    "a document of somebody else, of another form or beyond the bounds is refused",
    arguments: [
      "", "[]", "{}", #"{"id":7}"#, #"{"id":"did:web:example.org"}"#, #"{"id":"did:web:example.com#"}"#,
      #"{"id":"did:web:example.com","id":"did:web:example.com"}"#,
      #"{"id":"did:web:example.com","verificationMethod":{}}"#,
      #"{"id":"did:web:example.com","verificationMethod":["x"]}"#,
      ##"{"id":"did:web:example.com","verificationMethod":[{"id":"#k","type":"JsonWebKey","publicKeyJwk":"x"}]}"##,
      ##"{"id":"did:web:example.com","verificationMethod":[{"id":"#k","type":"JsonWebKey","publicKeyJwk":{"d":"x"}}]}"##,
      #"{"id":"did:web:example.com","verificationMethod":[{"id":"","type":"JsonWebKey","publicKeyJwk":{}}]}"#,
      #"{"id":"did:web:example.com","authentication":[7]}"#, #"{"id":"did:web:example.com","service":[{}]}"#,
      #"{"id":"did:web:example.com","alsoKnownAs":[""]}"#,
      #"{"id":"did:web:example.com","more":\#(String(repeating: "[", count: 9))\#(String(repeating: "]", count: 9))}"#,
      #"{"id":"did:web:example.com","alsoKnownAs":["\#(String(repeating: "a", count: 2049))"]}"#,
      #"{"id":"did:web:example.com","authentication":[\#(Array(repeating: ##""#a""##, count: 65).joined(separator: ","))]}"#,
      #"{"id":"did:web:example.com","more":"\#(String(repeating: "a", count: 64 << 10))"}"#,
    ])
  func refused(text: String) {
    #expect(throws: DIDError.self) { try read(text) }
  }

  @Test("a method of another document never answers for a key of this one")
  func foreignMethod() throws {
    let document = try read(
      #"{"id":"did:web:example.com","verificationMethod":[{"id":"did:web:victim.example#k","type":"JsonWebKey","publicKeyJwk":{}}]}"#
    )
    #expect(document.method(for: "did:web:example.com#k") == nil)
  }
}
