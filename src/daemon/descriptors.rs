//! Sharing out file descriptors, so that no use of them starves another.

use tracing::warn;

use crate::config::Settings;
use crate::net::limits::raise_descriptors;
use crate::upstream;

/// Descriptors kept for logs, files, the runtime and what libraries open.
const RESERVE: usize = 64;
/// Descriptors a shard needs besides its listening sockets: epoll sets, wakers.
const PER_SHARD: usize = 8;
/// UDP questions to servers in flight at once, all shards together. Each takes a port, and there are
/// 64,512: with half of them taken, a draw still finds a free one within two tries.
const PORTS: usize = 32_768;
/// UDP questions in flight a shard should have room for at least.
const FEW: usize = 512;

/// Who may open how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Connections from clients, all shards together.
    pub client_connections: usize,
    /// Connections to servers, a shard.
    pub upstream_connections: usize,
    /// UDP sockets toward servers, a shard.
    pub upstream_sockets: usize,
}

impl Plan {
    /// `policy` with what remains of its connections.
    pub fn upstream(&self, policy: &upstream::Policy) -> upstream::Policy {
        upstream::Policy { tcp_connections: self.upstream_connections, ..policy.clone() }
    }
}

/// Raises the limit as far as it goes, and shares it out.
pub fn plan(settings: &Settings, workers: usize, addresses: usize) -> Plan {
    let limit = usize::try_from(raise_descriptors()).unwrap_or(usize::MAX);
    let clients = settings.listener.tcp_connections;
    let servers = settings.upstream.tcp_connections;
    let plan = share(limit, workers, addresses, clients, servers);
    if plan.client_connections < clients || plan.upstream_connections < servers {
        warn!(
            "only {limit} file descriptors are allowed: {} TCP connections from clients instead of {clients}, {} a shard \
             to servers instead of {servers}; raise LimitNOFILE (ulimit -n)",
            plan.client_connections, plan.upstream_connections
        );
    }
    plan
}

fn share(limit: usize, workers: usize, addresses: usize, clients: usize, servers: usize) -> Plan {
    let fixed = RESERVE + workers * (PER_SHARD + 2 * addresses);
    let free = limit.saturating_sub(fixed);
    let wanted = clients.saturating_add(servers.saturating_mul(workers));
    let (clients, servers) = if wanted.saturating_add(FEW * workers) <= free {
        (clients, servers)
    } else {
        // Half for UDP questions, three eighths for clients, one eighth for connections to servers.
        (clients.min(free / 8 * 3), servers.min(free / 8 / workers).max(1))
    };
    let rest = free.saturating_sub(clients + servers * workers);
    Plan {
        client_connections: clients,
        upstream_connections: servers,
        upstream_sockets: (rest.min(PORTS) / workers).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plenty_gives_everybody_what_was_asked_for() {
        let plan = share(1 << 20, 4, 2, 10_000, 512);
        let expected = Plan { client_connections: 10_000, upstream_connections: 512, upstream_sockets: PORTS / 4 };
        assert_eq!(plan, expected);
    }

    #[test]
    fn scarcity_is_shared_and_never_overspent() {
        for limit in [256, 1024, 4096, 12_000] {
            for workers in [1, 2, 8] {
                let plan = share(limit, workers, 2, 10_000, 512);
                let spent = plan.client_connections
                    + workers * (plan.upstream_connections + plan.upstream_sockets + PER_SHARD + 4)
                    + RESERVE;
                assert!(spent <= limit, "{plan:?} spends {spent} of {limit}");
                assert!(plan.upstream_sockets >= plan.upstream_connections, "{plan:?} of {limit}");
            }
        }
    }
}
