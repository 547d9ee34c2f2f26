//! Whether the process lives.

/// `GET /healthz`. It asks no server: restarting this process heals neither of them, and it still
/// accepts work while Valkey is away.
pub async fn healthz() -> &'static str {
    "ok"
}
