public import Wire

/// The judgement of `meshd doctor`: from what `status`, `netcheck` and a look at the host say to what a person should know, in the
/// order in which one thing rests on another. It asks nobody.
public struct Diagnosis: Sendable {
  public var host: HostReport
  /// The object of `status --json`, or why there is none.
  public var status: Result<JSONValue, AgentError>
  /// The object of `netcheck --json`; `nil` without a daemon.
  public var netcheck: JSONValue?
  public var now: WallTime
  /// Of the program that asks.
  public var version: String

  public init(
    host: HostReport, status: Result<JSONValue, AgentError>, netcheck: JSONValue? = nil, now: WallTime,
    version: String = Version.text
  ) {
    self.host = host
    self.status = status
    self.netcheck = netcheck
    self.now = now
    self.version = version
  }

  public var findings: [Finding] {
    var findings = [directory]
    // Everything else follows from that.
    guard host.exists else { return findings }
    switch status {
    case .failure(let error):
      findings.append(
        Finding(
          .fail, "The daemon does not answer", detail: error.description,
          next: "'meshd down' ends it, by force if it must; then 'meshd up'. Its log is \(host.path)/meshd.log"))
    case .success(let status):
      findings += [identity(status), network(status)].compactMap { $0 }
      findings += daemon(status)
      findings += RecordsDiagnosis(status: status, now: now).findings
      if status["running"]?.bool == true {
        findings += WaysDiagnosis(status: status, netcheck: netcheck).findings
      }
      findings += (status["notes"]?.array ?? []).compactMap { $0.string.map { Finding(.warn, $0) } }
    }
    return findings
  }

  public var verdict: Verdict { Verdict(findings) }

  public var json: JSONValue {
    ["result": .string(verdict.rawValue), "checks": .array(findings.map(\.json))]
  }

  // MARK: This machine

  private var directory: Finding {
    guard host.exists else {
      return Finding(
        .fail, "There is no state directory", detail: host.path,
        next: "'meshd init' or 'meshd up' makes it, unless the path is mistyped")
    }
    guard host.exposed.isEmpty else {
      return Finding(
        .warn, "Others on this machine may read what is secret", detail: host.exposed.joined(separator: ", "),
        next: "chmod go= \(host.exposed.joined(separator: " "))")
    }
    return Finding(.ok, "The state directory is its owner's alone", detail: host.path)
  }

  private func identity(_ status: JSONValue) -> Finding {
    guard let did = status["did"]?.string else {
      return Finding(.fail, "This machine has no identity", next: "'meshd init' makes one")
    }
    return Finding(.ok, "Identity", detail: did)
  }

  private func network(_ status: JSONValue) -> Finding {
    guard let name = status["network"]?.string else {
      return Finding(
        .fail, "This machine is in no network",
        next: "'meshd up --create NAME' makes one; 'meshd peer add' on the first machine prints the line that joins one"
      )
    }
    return Finding(.ok, "Network \"\(name)\"", detail: status["networkRecordID"]?.string)
  }

  private func daemon(_ status: JSONValue) -> [Finding] {
    guard status["running"]?.bool == true else {
      var findings = [Finding(.fail, "The daemon is not running", next: "'meshd up'")]
      if !host.hasTUN {
        findings.append(
          Finding(
            .fail, "No network device can be made here", detail: "/dev/net/tun is missing or not open to this user",
            next: "load the module with 'modprobe tun', give the container the device, or run as root"))
      } else if !host.mayConfigure {
        findings.append(
          Finding(
            .fail, "This user may not configure the network",
            next: "run 'meshd up' as root, or with CAP_NET_ADMIN"))
      }
      return findings
    }
    var findings = [
      Finding(
        .ok, "The daemon is running",
        detail: "PID \(status["pid"]?.integer ?? 0) for \(status["uptime"]?.string ?? "?")")
    ]
    if let running = status["version"]?.string, running != version {
      findings.append(
        Finding(
          .warn, "The daemon is version \(running), this program is \(version)",
          next: "'meshd down' and 'meshd up' start the new one"))
    }
    findings.append(interface(status))
    return findings
  }

  private func interface(_ status: JSONValue) -> Finding {
    let device = "\(status["tunDevice"]?.string ?? "?"), MTU \(status["mtu"]?.integer ?? 0)"
    switch status["routingPhase"]?.string {
    case "ready":
      let offloads = (status["offloads"]?.array ?? []).compactMap(\.string)
      return Finding(
        .ok, "The network device is up",
        detail: device + (offloads.isEmpty ? ", no offloads" : ", offloads \(offloads.joined(separator: ", "))"))
    case "error":
      return Finding(
        .fail, "The network device does not work", detail: status["routingError"]?.string,
        next: "'meshd down' and 'meshd up'; the log is \(host.path)/meshd.log")
    default:
      return Finding(.warn, "The network device waits for the network's records", detail: device)
    }
  }
}
