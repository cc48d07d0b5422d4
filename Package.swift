// swift-tools-version: 6.2
import PackageDescription

/// Continuous integration sets this: a warning in our own modules is an error there, and a nuisance at a desk.
let warningsAreErrors = Context.environment["MESHD_WARNINGS_AS_ERRORS"] == "1"

let swiftSettings: [SwiftSetting] =
  [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
  ] + (warningsAreErrors ? [.treatAllWarnings(as: .error)] : [])

extension Target.Dependency {
  static let crypto = product(name: "Crypto", package: "swift-crypto")
  static let log = product(name: "Logging", package: "swift-log")
  static let nio = product(name: "NIOCore", package: "swift-nio")
  static let nioEmbedded = product(name: "NIOEmbedded", package: "swift-nio")
  static let nioPosix = product(name: "NIOPosix", package: "swift-nio")
  static let nioHTTP1 = product(name: "NIOHTTP1", package: "swift-nio")
  static let nioWebSocket = product(name: "NIOWebSocket", package: "swift-nio")
  static let nioSSL = product(name: "NIOSSL", package: "swift-nio-ssl")
  static let nioTLS = product(name: "NIOTLS", package: "swift-nio")
  static let x509 = product(name: "X509", package: "swift-certificates")
  static let asn1 = product(name: "SwiftASN1", package: "swift-asn1")
  static let httpClient = product(name: "AsyncHTTPClient", package: "async-http-client")
  static let grdb = product(name: "GRDB", package: "GRDB.swift")
  static let arguments = product(name: "ArgumentParser", package: "swift-argument-parser")
  static let metrics = product(name: "CoreMetrics", package: "swift-metrics")
  static let deque = product(name: "DequeModule", package: "swift-collections")
  static let lifecycle = product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
  static let unixSignals = product(name: "UnixSignals", package: "swift-service-lifecycle")
  static let subprocess = product(name: "Subprocess", package: "swift-subprocess")
}

/// A module of the product. What it may import is what stands here, and nothing else: `docs/architecture.md` draws it.
func module(
  _ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []
) -> Target {
  .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: swiftSettings)
}

func tests(
  _ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []
) -> Target {
  .testTarget(
    name: name, dependencies: dependencies + ["TestSupport"], resources: resources,
    swiftSettings: swiftSettings)
}

let package = Package(
  name: "meshd",
  products: [.executable(name: "meshd", targets: ["meshd"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
    .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
    .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess.git", from: "1.0.2"),
  ],
  targets: [
    .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
    .systemLibrary(name: "CMnl", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
    .systemLibrary(name: "CSecp256k1", pkgConfig: "libsecp256k1", providers: [.apt(["libsecp256k1-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .target(name: "CLinux"),
    .target(name: "CSQLite", linkerSettings: [.linkedLibrary("sqlite3")]),

    module("Wire", []),
    module("Cryptography", ["Wire", "CSodium", "CSecp256k1", .crypto]),
    module("Identity", ["Cryptography", "Wire", .crypto]),
    module("DWN", ["Identity", "Cryptography", "Wire", .crypto]),
    module(
      "DWNClient",
      [
        "DWN", "Identity", "Cryptography", "Wire", .httpClient, .nio, .nioPosix, .nioHTTP1, .nioWebSocket, .nioSSL,
        .log,
      ]),
    module(
      "DWNNode",
      [
        "DWN", "Identity", "Cryptography", "Wire", "CSQLite", "CZstd", .grdb, .nio, .nioPosix, .nioHTTP1,
        .nioWebSocket, .nioSSL, .log, .metrics,
      ]),
    module(
      "Mesh", ["DWN", "Identity", "Cryptography", "Wire"],
      resources: [.embedInCode("protocols"), .embedInCode("schemas")]),
    module("Netmap", ["Cryptography", "Wire"]),
    module("Control", ["Mesh", "Netmap", "DWNClient", "DWN", "Identity", "Cryptography", "Wire", .log]),
    module("WireGuard", ["Cryptography", "Wire", .deque]),
    module("Traversal", ["Netmap", "Cryptography", "Wire"]),
    module(
      "DERP",
      [
        "Netmap", "Cryptography", "Wire", .nio, .nioPosix, .nioTLS, .nioSSL, .deque, .log, .crypto, .x509, .asn1,
      ]),
    module("DataPath", ["CLinux", "Cryptography", "WireGuard", "Wire"]),
    module(
      "Engine",
      [
        "DataPath", "WireGuard", "Traversal", "DERP", "Netmap", "CLinux", "CMnl", "Cryptography", "Wire", .nio, .log,
      ]),
    module(
      "Agent",
      [
        "Control", "Engine", "Traversal", "DERP", "DWNNode", "DWNClient", "Mesh", "Netmap", "DWN", "Identity",
        "Cryptography", "CLinux", "Wire", .grdb, .nio, .nioPosix, .nioHTTP1, .nioSSL, .log, .lifecycle, .unixSignals,
      ]),
    .executableTarget(
      name: "meshd",
      dependencies: [
        "Agent", "Control", "DWNNode", "DWN", "Mesh", "Netmap", "Identity", "Cryptography", "Wire", .arguments, .log,
      ],
      swiftSettings: swiftSettings),

    .target(name: "CCipherSwitch", path: "Benchmarks/CipherSwitch"),
    .executableTarget(
      name: "meshd-bench",
      dependencies: [
        "Agent", "Control", "Mesh", "Netmap", "Engine", "DataPath", "WireGuard", "DERP", "DWNNode", "DWNClient", "DWN",
        "Identity", "Cryptography", "CSodium", "CLinux", "CCipherSwitch", "Wire", .arguments, .subprocess, .nio, .log,
        .grdb,
      ],
      path: "Benchmarks", exclude: ["CipherSwitch"], swiftSettings: swiftSettings,
      // Its cipher has a switch that the product's has not.
      linkerSettings: [
        .unsafeFlags(
          ["seal", "open"].flatMap { ["-Xlinker", "--wrap=CCryptoBoringSSL_EVP_AEAD_CTX_\($0)"] })
      ]),

    .target(
      name: "TestSupport", dependencies: ["Identity", "Cryptography", "Wire", .nio], path: "Tests/Support",
      swiftSettings: swiftSettings),
    .target(name: "CAllocationCount", path: "Tests/AllocationCount"),
    tests("WireTests", ["Wire"]),
    tests("CryptographyTests", ["Cryptography", "Wire"]),
    tests("IdentityTests", ["Identity", "Cryptography", "Wire"]),
    tests("DWNTests", ["DWN", "Identity", "Cryptography", "Wire"]),
    tests(
      "DWNClientTests",
      [
        "DWNClient", "DWN", "Identity", "Cryptography", "Wire", .nio, .nioEmbedded, .nioPosix, .nioHTTP1,
        .nioWebSocket, .nioSSL, .log,
      ]),
    tests(
      "DWNNodeTests",
      [
        "DWNNode", "DWNClient", "DWN", "Identity", "Cryptography", "Wire", .grdb, .nio, .nioPosix, .nioHTTP1,
        .nioWebSocket,
        .nioSSL, .log,
      ]),
    tests("MeshTests", ["Mesh", "DWN", "Identity", "Cryptography", "Wire"]),
    tests("ControlTests", ["Control", "Mesh", "Netmap", "DWNClient", "DWN", "Identity", "Cryptography", "Wire", .log]),
    tests("WireGuardTests", ["WireGuard", "Cryptography", "Wire"]),
    tests("TraversalTests", ["Traversal", "Netmap", "Cryptography", "Wire"]),
    tests("SimulationTests", ["Traversal", "Netmap", "Cryptography", "Wire"]),
    tests("DERPTests", ["DERP", "Netmap", "Cryptography", "Wire", .nio, .nioPosix, .nioSSL]),
    tests(
      "EngineTests",
      [
        "Engine", "DataPath", "WireGuard", "Traversal", "DERP", "Netmap", "CLinux", "CAllocationCount", "Cryptography",
        "Wire", .nio, .nioPosix, .nioSSL,
      ]),
    tests(
      "AgentTests",
      [
        "Agent", "Control", "Engine", "Traversal", "DERP", "Mesh", "Netmap", "DWNNode", "DWNClient", "DWN", "Identity",
        "Cryptography", "Wire", .nio, .nioPosix, .nioSSL, .log,
      ]),
    tests(
      "Lab",
      [
        "Agent", "DWNNode", "DWN", "Mesh", "Identity", "Cryptography", "Wire", "Engine", "WireGuard", "DataPath",
        "Netmap", "Traversal", "DERP", "DWNClient", "CLinux", .subprocess, .nio, .nioPosix, .nioHTTP1, .nioSSL, .log,
      ]),
  ]
)
