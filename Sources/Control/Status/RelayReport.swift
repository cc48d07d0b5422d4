public import Mesh

extension DWNControlPlane {
  /// The relay records in force by id, and the machines that may run them.
  public func relayRecords() -> (relays: [RelayRecord], nodes: [ControlStatus.Node]) {
    (view?.relays ?? [], (view?.nodes ?? []).map(ControlStatus.Node.init))
  }
}
