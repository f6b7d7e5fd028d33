//! Why somebody is not served as he asked: one code for each reason.

use super::pressure::Level;

/// Why a query was turned away, or would have been.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Reason {
    /// Outside every prefix that may ask.
    NotAllowed,
    /// The same, and the rate of REFUSED is used up.
    RefusedRate,
    /// The address itself asks more than its share.
    ClientShare,
    /// A prefix around it asks more than its share.
    PrefixShare,
    /// What costs work upstream is used up; what is in the cache is still answered.
    Recursion,
    /// Never seen before, and there are more of those than there is room for.
    Stranger,
    /// Its class has to show a cookie.
    CookieRequired,
    /// More octets would go to an unproven prefix than came from there.
    Ration,
    /// More octets go to addresses never seen before than all of those have sent, by more than their ration.
    StrangerRation,
    /// The same answer goes to the same unproven prefix over and over.
    SameAnswer,
    /// The zone is flooded with names that do not exist, and its quota is used up.
    ZoneFlood,
    /// The same, and the client has asked for too many of them.
    ZoneClient,
    /// Too many names of the zone that were never seen before are waited for.
    ZoneInFlight,
    /// The places for questions in flight are needed by others.
    Places,
    /// The address waits for the same answer too many times.
    Waiting,
    /// The answer came later than anybody waits for it.
    Late,
    /// The zone's servers are asked as much as they bear.
    ServerQuota,
    /// As many connections are open as may be.
    ConnectionsTotal,
    /// As many are open from the prefix around the client as it may have.
    ConnectionsPrefix,
    /// As many are open from the client as it may have.
    ConnectionsClient,
    /// A connection idled while there was need of its place.
    IdleEarly,
    /// A connection's client does not read its replies, or hardly.
    SlowReader,
    /// A connection's client began a question and did not end it.
    Unfinished,
    /// The address asks so much, without a proof, that no more octets go there than came from there.
    HalfShare,
    /// Under pressure the unproven address was sent enough octets beyond what came from it.
    AddressRation,
    /// The address opens more connections than its share pays for.
    ConnectionShare,
    /// The same of a prefix around it.
    ConnectionPrefixShare,
    /// More was asked on a connection than the share of who opened it pays for.
    StreamShare,
    /// A message on a connection is too short for a header, or longer than a query may be.
    Misframed,
    /// What came on a connection is no query.
    NoQuery,
    /// As many connections are open as the wide network around the client may have, of all that there may be.
    ConnectionsWide,
    /// Replies that clients do not read have filled the room that there is for them.
    UnreadTotal,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Reason; 32] = [
        Reason::NotAllowed,
        Reason::RefusedRate,
        Reason::ClientShare,
        Reason::PrefixShare,
        Reason::Recursion,
        Reason::Stranger,
        Reason::CookieRequired,
        Reason::Ration,
        Reason::StrangerRation,
        Reason::SameAnswer,
        Reason::ZoneFlood,
        Reason::ZoneClient,
        Reason::ZoneInFlight,
        Reason::Places,
        Reason::Waiting,
        Reason::Late,
        Reason::ServerQuota,
        Reason::ConnectionsTotal,
        Reason::ConnectionsPrefix,
        Reason::ConnectionsClient,
        Reason::IdleEarly,
        Reason::SlowReader,
        Reason::Unfinished,
        Reason::HalfShare,
        Reason::AddressRation,
        Reason::ConnectionShare,
        Reason::ConnectionPrefixShare,
        Reason::StreamShare,
        Reason::Misframed,
        Reason::NoQuery,
        Reason::ConnectionsWide,
        Reason::UnreadTotal,
    ];
    /// How many there are.
    pub const COUNT: usize = Reason::ALL.len();

    /// From its number.
    pub fn from_number(number: u8) -> Option<Reason> {
        Reason::ALL.get(usize::from(number)).copied()
    }

    /// As counters and logs name it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::NotAllowed => "acl",
            Reason::RefusedRate => "acl_silent",
            Reason::ClientShare => "client_limit",
            Reason::PrefixShare => "prefix_limit",
            Reason::Recursion => "recursion_limit",
            Reason::Stranger => "stranger",
            Reason::CookieRequired => "cookie_required",
            Reason::Ration => "ration",
            Reason::StrangerRation => "stranger_ration",
            Reason::SameAnswer => "same_answer",
            Reason::ZoneFlood => "zone_flood",
            Reason::ZoneClient => "zone_client",
            Reason::ZoneInFlight => "zone_in_flight",
            Reason::Places => "places",
            Reason::Waiting => "waiting",
            Reason::Late => "late",
            Reason::ServerQuota => "server_quota",
            Reason::ConnectionsTotal => "tcp_total",
            Reason::ConnectionsPrefix => "tcp_prefix",
            Reason::ConnectionsClient => "tcp_client",
            Reason::IdleEarly => "tcp_idle_early",
            Reason::SlowReader => "tcp_slow_reader",
            Reason::Unfinished => "tcp_unfinished",
            Reason::HalfShare => "half_share",
            Reason::AddressRation => "address_ration",
            Reason::ConnectionShare => "tcp_share",
            Reason::ConnectionPrefixShare => "tcp_prefix_share",
            Reason::StreamShare => "tcp_question_share",
            Reason::Misframed => "tcp_misframed",
            Reason::NoQuery => "tcp_no_query",
            Reason::ConnectionsWide => "tcp_wide_prefix",
            Reason::UnreadTotal => "tcp_unread_total",
        }
    }

    /// The setting that decides it.
    pub fn setting(self) -> &'static str {
        match self {
            Reason::NotAllowed => "access.allow",
            Reason::RefusedRate => "access.refused_rate",
            Reason::ClientShare | Reason::PrefixShare | Reason::HalfShare => "limits.client_rate",
            Reason::Recursion => "limits.miss_cost",
            Reason::Stranger => "limits.stranger_rate",
            Reason::CookieRequired => "client_class.require_cookie",
            Reason::Ration => "limits.ration",
            Reason::AddressRation => "limits.address_ration",
            Reason::ConnectionShare | Reason::ConnectionPrefixShare => "limits.tcp_accept_cost",
            Reason::StreamShare => "limits.client_rate",
            Reason::Misframed | Reason::NoQuery => "none (RFC 1035 §4)",
            Reason::StrangerRation => "limits.stranger_ration",
            Reason::SameAnswer => "limits.same_answer_ration",
            Reason::ZoneFlood => "limits.zone_rate",
            Reason::ZoneClient => "limits.zone_clients",
            Reason::ZoneInFlight => "limits.zones",
            Reason::Places => "limits.places",
            Reason::Waiting => "limits.waits_for_one",
            Reason::Late => "limits.patience",
            Reason::ServerQuota => "limits.servers",
            Reason::ConnectionsTotal | Reason::ConnectionsWide => "server.tcp_connections",
            Reason::UnreadTotal => "none (64 MiB a shard)",
            Reason::IdleEarly => "limits.connections",
            Reason::ConnectionsPrefix => "server.tcp_connections_per_prefix",
            Reason::ConnectionsClient => "server.tcp_connections_per_client",
            Reason::SlowReader => "server.tcp_write_timeout",
            Reason::Unfinished => "server.tcp_idle_timeout",
        }
    }

    /// What decides it too, of the level of pressure at which it is decided: a key of `[level.guard]` and its like.
    pub fn measure(self, level: Level) -> Option<&'static str> {
        match self {
            Reason::ClientShare
            | Reason::PrefixShare
            | Reason::HalfShare
            | Reason::ConnectionShare
            | Reason::ConnectionPrefixShare
            | Reason::StreamShare
            | Reason::Recursion
                if level > Level::Open =>
            {
                Some("share")
            }
            Reason::Stranger => Some("strangers"),
            Reason::IdleEarly if level > Level::Open => Some("tcp_idle"),
            _ => None,
        }
    }

    /// In one sentence.
    pub fn text(self) -> &'static str {
        match self {
            Reason::NotAllowed => "the address is outside every prefix that may ask",
            Reason::RefusedRate => "the address is outside every prefix that may ask, and enough were told so",
            Reason::ClientShare => "the address asked more than its share",
            Reason::PrefixShare => "a network around the address asked more than its share",
            Reason::Recursion => "the share of work upstream is used up; cached names are still answered",
            Reason::Stranger => "the address has never proven itself, during a flood of addresses that did not either",
            Reason::CookieRequired => "the class of the address has to show a DNS cookie, or use TCP",
            Reason::Ration => "more octets would have gone to an unproven network than came from there",
            Reason::StrangerRation => {
                "the address was never seen before, and such addresses were sent more octets than came from them"
            }
            Reason::AddressRation => {
                "under pressure, more octets would have gone to an unproven address than came from there; it is asked to \
                 come by TCP"
            }
            Reason::SameAnswer => "the same answer went to the same unproven network over and over",
            Reason::ZoneFlood => {
                "the zone is flooded with names that do not exist; what its servers bear goes to names known to exist, \
                 then to clients whose questions lead to some"
            }
            Reason::ZoneClient => "the client asked for too many names that do not exist, in a zone flooded with them",
            Reason::Places => {
                "too many questions for names never seen before are in flight, and the client has its share of them"
            }
            Reason::Waiting => "the address waits for the very same answer too many times already",
            Reason::Late => {
                "the servers answered later than a client waits, and the answer was kept for the next question"
            }
            Reason::ServerQuota => {
                "the zone's servers lose what is asked of them beyond what they bear; names known to exist come first"
            }
            Reason::ZoneInFlight => "too many names of the zone that were never seen before wait for an answer",
            Reason::ConnectionsWide => {
                "as many TCP connections are open as an IPv4 /20 or IPv6 /48 (a quarter of all) or an IPv4 /16 or IPv6 /32 \
                 (three quarters) around the address may have"
            }
            Reason::UnreadTotal => "it did not read its replies while those of all clients filled the room for them",
            Reason::ConnectionsTotal => "as many TCP connections are open as all clients together may have",
            Reason::ConnectionsPrefix => "as many TCP connections are open as the network around the address may have",
            Reason::ConnectionsClient => "as many TCP connections are open as the address may have",
            Reason::IdleEarly => {
                "its TCP connection idled while few were left or the server was pressed, and was closed before its time"
            }
            Reason::ConnectionShare => "the address opened more TCP connections than its share pays for",
            Reason::ConnectionPrefixShare => {
                "a network around the address opened more TCP connections than its share pays for"
            }
            Reason::StreamShare => "more was asked on its TCP connection than its share pays for, and it was closed",
            Reason::Misframed => {
                "a message on its TCP connection was too short for a header, or longer than a query may be"
            }
            Reason::NoQuery => "what it sent on its TCP connection was no query, and it was closed",
            Reason::SlowReader => "it did not read the replies on its TCP connection, or hardly",
            Reason::HalfShare => {
                "the address asked more than half of its share without a proof that it is its own, and is sent no more \
                 octets than came from there"
            }
            Reason::Unfinished => "it began a question on its TCP connection and did not end it within the idle time",
        }
    }

    /// What would change it.
    pub fn remedy(self) -> &'static str {
        match self {
            Reason::NotAllowed | Reason::RefusedRate => "add its prefix to [access] allow",
            Reason::ClientShare | Reason::PrefixShare | Reason::Recursion => {
                "put it into a [[client_class]] with a larger weight, or raise [limits] client_rate and client_burst"
            }
            Reason::Stranger => "it proves itself with a DNS cookie or by TCP; or raise [limits] stranger_rate",
            Reason::HalfShare => {
                "it proves itself with a DNS cookie or by TCP; or put it into a [[client_class]] with a larger weight, or \
                 raise [limits] client_rate and client_burst"
            }
            Reason::CookieRequired => "let it send DNS cookies, or set require_cookie = \"off\" in its class",
            Reason::Ration => {
                "it proves itself with a DNS cookie or by TCP; or raise this setting, and for addresses not served lately the \
                 part of it that is left to them under pressure ([level.guard] and [level.closed] ration)"
            }
            Reason::AddressRation | Reason::StrangerRation | Reason::SameAnswer => {
                "it proves itself with a DNS cookie or by TCP; or raise this setting"
            }
            Reason::ZoneFlood | Reason::ZoneClient => {
                "it ends by itself within a minute of the flood; or raise [limits] zone_watch, from where on a zone is \
                 suspected, or set zones = \"observe\""
            }
            Reason::Places => "it ends when what is in flight has; or set [limits] places = \"observe\"",
            Reason::Waiting => "it proves itself with a DNS cookie or by TCP; or raise [limits] waits_for_one",
            Reason::Late => "the next question has it from the cache; or raise [limits] patience",
            Reason::ServerQuota => {
                "it ends within seconds once its servers lose nothing any more; or set [limits] servers = \"observe\""
            }
            Reason::ZoneInFlight => "it ends as soon as the zone's servers answer; or set [limits] zones = \"observe\"",
            Reason::ConnectionsWide => {
                "it ends when others there close theirs; or raise [server] tcp_connections, which takes a restart, or set \
                 [limits] connections = \"observe\""
            }
            Reason::ConnectionsTotal => {
                "it ends when others close theirs; or raise [server] tcp_connections, which takes a restart and, where the log \
                 says so at start, more file descriptors (LimitNOFILE); no mode lifts it"
            }
            Reason::UnreadTotal => "it reads its replies; no setting or mode lifts it, since memory ends there",
            Reason::ConnectionsPrefix | Reason::ConnectionsClient => {
                "it closes connections that it does not use; or raise this setting, which takes a restart, make it exempt in a \
                 [[client_class]], or set [limits] connections = \"observe\""
            }
            Reason::IdleEarly => {
                "it opens another; or raise [server] tcp_connections, if half of them are in use (it takes a restart), or set \
                 [limits] connections = \"observe\""
            }
            Reason::ConnectionShare | Reason::ConnectionPrefixShare => {
                "it asks more on each connection and keeps it open; or put it into a [[client_class]] with a larger weight, \
                 or raise [limits] client_rate and client_burst"
            }
            Reason::StreamShare => "put it into a [[client_class]] with a larger weight, or raise [limits] client_rate",
            Reason::Misframed | Reason::NoQuery => "its program speaks DNS over TCP, with a length before each query",
            Reason::SlowReader => {
                "it reads its replies; or raise [server] tcp_write_timeout, which takes a restart, or set [limits] connections = \
                 \"observe\""
            }
            Reason::Unfinished => {
                "it sends its questions whole; or raise [server] tcp_idle_timeout, which takes a restart"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_reasons_agree() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert_eq!(Reason::from_number(u8::try_from(number).expect("few")), Some(reason));
        }
        assert_eq!(Reason::from_number(Reason::COUNT as u8), None);
    }
}
