import DWN
import Identity
import Mesh
import Netmap
import Wire

extension DWNControlPlane {
  /// What `status` and `peer list` show.
  public func status() async -> ControlStatus { await status(isRunning: true) }

  /// The same where nothing runs that would work on what is pending.
  public func statusAtRest() async -> ControlStatus { await status(isRunning: false) }

  private func status(isRunning: Bool) async -> ControlStatus {
    let wall = clock.wallTime()
    let membership = reader.membership(at: wall)
    var status = ControlStatus(
      network: network, did: configuration.identity.did, membership: membership)
    let view = reader.view(at: wall)
    status.networkName = view?.record?.name
    status.meshCIDR = view?.record?.meshCIDR
    let nodes = (view?.nodes ?? []).map(ControlStatus.Node.init)
    status.myself = nodes.first { $0.did == status.did }
    status.peers = nodes.filter { $0.did != status.did }.sorted { $0.meshIP < $1.meshIP }
    status.head = (view?.head).map {
      ControlStatus.Head(
        sequence: $0.seq, epoch: $0.epoch.number, signedAt: $0.stamp, acceptedAt: $0.acceptedAt)
    }
    status.hasRelay = lastNetmap.map { $0.relays.contains(where: \.relaysTraffic) }
    status.refused = reader.refusals.filter { !$0.isBehind(configuration.identity.did) }.map { refusal in
      ControlStatus.Refused(
        recordID: refusal.recordID ?? "", path: refusal.path ?? "", author: refusal.author ?? "",
        reason: refusal.reason.description, count: refusal.count)
    }
    status.endpoints = await endpointReports()
    status.pending = await pending(membership) + unpublished(status.endpoints, isRunning: isRunning)
    status.notes = notes(view, at: wall)
    status.snapshot = snapshot
    return status
  }

  /// What is waited for, most basic first.
  private func pending(_ membership: Membership) async -> [String] {
    var pending: [String] = []
    switch membership {
    case .waitingForHead:
      pending.append(
        "the anchor's head: no node has shown one that this machine may read; has the anchor added it with 'meshd peer add'?"
      )
    case .waitingForRecords:
      pending.append("the network's records: no node has shown those of the anchor yet")
    case .waitingForKey:
      pending.append("the network key: the anchor delivers it ('meshd peer approve' there does it at once)")
    case .notAMember:
      pending.append(
        "this machine's own node record: the anchor adds it with 'meshd peer add \(configuration.identity.did)'")
    case .removed: pending.append("the anchor, which has removed this machine from the network, to add it again")
    case .expired: pending.append("the anchor to renew the membership of this machine, which has expired")
    case .member: break
    }
    if let mismatch = reader.mismatch, clock.now() - mismatch.since > Mismatch.patience {
      pending.append(mismatch.description)
    }
    if isAnchor, !network.envelope.hasHeads {
      for did in await keeper.ledger.lackingKeys(in: network.id, now: clock.wallTime()) {
        pending.append("the definition of \(did), to deliver its keys: 'meshd up' there installs it")
      }
    }
    return pending
  }

  private func notes(_ view: MeshView?, at wall: WallTime) -> [String] {
    var notes = view.map(NetmapTranslator.notes) ?? []
    if !network.envelope.hasHeads {
      notes.append(
        "this network has encryption v1 and is replayable: nothing proves that what a node shows is all and new, so it can show a "
          + "removed machine again to one that has not seen its removal")
    }
    if let head = view?.head, !isAnchor, wall - head.stamp > Self.silenceLimit {
      notes.append(
        "the anchor has not been heard of since \(head.stamp.rfc3339): it is away, or a node withholds its records"
      )
    }
    for seq in reader.equivocations.sorted() {
      notes.append(
        "the anchor signed two different heads with the number \(seq): its ledger was restored from a backup, or copied"
      )
    }
    for (did, ahead) in reader.clocksAhead.sorted(by: { $0.key < $1.key }) {
      notes.append("the clock of \(did) is ahead of this machine's by \(Int(ahead.seconds)) s")
    }
    notes += relayNotes
    for error in [upkeepError, saveError].compactMap({ $0 }) { notes.append(error) }
    return notes
  }

  /// The anchor signs a head every hour: so much silence is worth a word.
  static let silenceLimit: Duration = .seconds(3 * 3600)
}

extension ControlStatus.Node {
  init(_ node: MeshView.Node) {
    self.init(
      did: node.did, name: node.name, label: node.record.label, meshIP: node.meshIP, meshIPv6: node.meshIPv6,
      ownerDID: node.record.owner, nodeRecordID: node.recordID,
      memberRecordID: node.path == MeshProtocol.memberNode ? node.contextID.parent?.record : nil,
      expiresAt: node.record.expiresAt, wireGuardKey: node.key, lastSeen: node.endpointStamp)
  }
}
