//! The master files and the server map of `zones/lab`, embedded in the binary.

/// The server map.
pub(super) const SERVERS: &str = include_str!("../../zones/lab/servers.toml");

/// Which zones are signed.
pub(super) const SIGNING: &str = include_str!("../../zones/lab/signing.toml");

macro_rules! zones {
    ($($origin:literal $file:literal)*) => {
        /// Origin and text of every master file.
        pub(super) const ZONES: &[(&str, &str)] = &[$(($origin, include_str!(concat!("../../zones/lab/", $file)))),*];
        #[cfg(test)]
        const FILES: &[&str] = &[$($file),*];
    };
}

zones! {
    "0-25.3.97.145.in-addr.arpa." "0-25.3.97.145.in-addr.arpa.zone"
    "8.b.d.0.1.0.a.2.ip6.arpa." "8.b.d.0.1.0.a.2.ip6.arpa.zone"
    "97.145.in-addr.arpa." "97.145.in-addr.arpa.zone"
    "arpa." "arpa.zone"
    "big.com." "big.com.zone"
    "case.nl." "case.nl.zone"
    "cdn.net." "cdn.net.zone"
    "chain.com." "chain.com.zone"
    "chain.net." "chain.net.zone"
    "chain.org." "chain.org.zone"
    "child.same.nl." "child.same.nl.zone"
    "circa.com." "circa.com.zone"
    "circb.com." "circb.com.zone"
    "co.uk." "co.uk.zone"
    "com." "com.zone"
    "cut.wild.com." "cut.wild.com.zone"
    "d.c.b.a.4.3.2.1.0.0.0.0.0.0.0.0.2.0.0.0.8.b.d.0.1.0.a.2.ip6.arpa." "d.c.b.a.4.3.2.1.0.0.0.0.0.0.0.0.2.0.0.0.8.b.d.0.1.0.a.2.ip6.arpa.zone"
    "deep.nl." "deep.nl.zone"
    "dname.com." "dname.com.zone"
    "dname.net." "dname.net.zone"
    "dnssec.nl." "dnssec.nl.zone"
    "dual.com." "dual.com.zone"
    "ent.org." "ent.org.zone"
    "formerr.com." "formerr.com.zone"
    "g1.com." "g1.com.zone"
    "g2.net." "g2.net.zone"
    "g3.org." "g3.org.zone"
    "g4.nl." "g4.nl.zone"
    "gtld-servers.net." "gtld-servers.net.zone"
    "halflame.com." "halflame.com.zone"
    "halfsilent.com." "halfsilent.com.zone"
    "hard.com." "hard.com.zone"
    "hosting.net." "hosting.net.zone"
    "in-addr.arpa." "in-addr.arpa.zone"
    "ip6.arpa." "ip6.arpa.zone"
    "l1.ladder.net." "l1.ladder.net.zone"
    "l2.l1.ladder.net." "l2.l1.ladder.net.zone"
    "l3.l2.l1.ladder.net." "l3.l2.l1.ladder.net.zone"
    "l4.l3.l2.l1.ladder.net." "l4.l3.l2.l1.ladder.net.zone"
    "ladder.net." "ladder.net.zone"
    "lossy.com." "lossy.com.zone"
    "mail.org." "mail.org.zone"
    "manyns.com." "manyns.com.zone"
    "moved.org." "moved.org.zone"
    "net." "net.zone"
    "nl." "nl.zone"
    "noaa.com." "noaa.com.zone"
    "notcp.com." "notcp.com.zone"
    "nsdiff.net." "nsdiff.net.zone"
    "nslame.net." "nslame.net.zone"
    "ordinary.com." "ordinary.com.zone"
    "ordinary.net." "ordinary.net.zone"
    "ordinary.nl." "ordinary.nl.zone"
    "ordinary.org." "ordinary.org.zone"
    "org." "org.zone"
    "refused.com." "refused.com.zone"
    "reverse.net." "reverse.net.zone"
    "root-servers.net." "root-servers.net.zone"
    "." "root.zone"
    "same.nl." "same.nl.zone"
    "servfail.com." "servfail.com.zone"
    "shop.co.uk." "shop.co.uk.zone"
    "short.net." "short.net.zone"
    "sib1.com." "sib1.com.zone"
    "sib2.com." "sib2.com.zone"
    "silent.com." "silent.com.zone"
    "six." "six.zone"
    "slow.com." "slow.com.zone"
    "sub.six." "sub.six.zone"
    "tconly.com." "tconly.com.zone"
    "types.org." "types.org.zone"
    "uk." "uk.zone"
    "uni.ac.uk." "uni.ac.uk.zone"
    "upward.com." "upward.com.zone"
    "v6.com." "v6.com.zone"
    "v6glueless.com." "v6glueless.com.zone"
    "wild.com." "wild.com.zone"
    "wrongcase.com." "wrongcase.com.zone"
    "wrongid.com." "wrongid.com.zone"
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/zones/lab");
        let names = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|n| n.ends_with(".zone")).collect();
        let mut embedded = super::FILES.to_vec();
        names.sort();
        embedded.sort();
        assert_eq!(names, embedded);
    }
}
