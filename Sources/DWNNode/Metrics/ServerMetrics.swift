import CoreMetrics
import Wire

/// What a server counts.
struct ServerMetrics: Sendable {
  /// Why something was turned away before the node saw it.
  enum Refusal: String, Sendable {
    case addressRate = "address_rate"
    case tenantRate = "tenant_rate"
    /// One author's share of a tenant that is somebody else.
    case authorRate = "author_rate"
    case connections
    /// No place for one more connection that stays open.
    case webSockets = "websockets"
    case bodyTooLarge = "body_too_large"
    case bodyBudget = "body_budget"
    /// Too much waits to be read by others.
    case replyBudget = "reply_budget"
    case slow
    case malformed
    /// The other side went away in the middle of a body.
    case cutOff = "cut_off"
    /// Of somebody who is no tenant, of no write, or that the disk did not take.
    case data
    case subscriptions
    case webSocketAbuse = "websocket_abuse"
  }

  enum Gauge: String, Sendable {
    case connections = "meshd_dwn_connections"
    case webSockets = "meshd_dwn_websockets"
    case subscriptions = "meshd_dwn_subscriptions"
    case unread = "meshd_dwn_unread_bytes"
  }

  let factory: any MetricsFactory

  func answered(kind: String, status: String, duration: Duration) {
    Counter(
      label: "meshd_dwn_messages_total", dimensions: [("kind", kind), ("status", status)], factory: factory
    ).increment()
    CoreMetrics.Timer(label: "meshd_dwn_message_seconds", dimensions: [("kind", kind)], factory: factory)
      .recordNanoseconds(duration.nanoseconds)
  }

  func refused(_ reason: Refusal) {
    Counter(label: "meshd_dwn_refused_total", dimensions: [("reason", reason.rawValue)], factory: factory).increment()
  }

  func sentEvent() {
    Counter(label: "meshd_dwn_events_total", factory: factory).increment()
  }

  func change(_ gauge: Gauge, by amount: Double) {
    let meter = Meter(label: gauge.rawValue, factory: factory)
    if amount >= 0 { meter.increment(by: amount) } else { meter.decrement(by: -amount) }
  }
}
