//! DNS messages: bytes to a question, an answer to bytes. Pure.

use std::net::Ipv4Addr;

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, PTR},
    },
};

use super::zone::{Answer, Kind};

/// Seconds that answers may be kept: short, because containers come and go.
const TTL: u32 = 5;
/// Bytes of a DNS header.
const HEADER_BYTES: usize = 12;
/// What a client without EDNS takes by datagram (RFC 1035).
const PLAIN_BYTES_MAX: usize = 512;
/// The largest answer that we send by datagram, whatever a client claims to take.
const EDNS_BYTES_MAX: usize = 4096;

/// What came in.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A question.
    Question(Box<Question>),
    /// Something that is answered by an error.
    Refused(Vec<u8>),
    /// Something that is not answered: answers, fragments, noise.
    Noise,
}

/// One question.
#[derive(Debug)]
pub(super) struct Question {
    query: Message,
    /// The name, with dots.
    pub(super) name: String,
    /// What it asks for.
    pub(super) kind: Kind,
}

/// How an answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// One datagram, cut at the size that the client takes.
    Datagram,
    /// A stream: up to 64 KiB.
    Stream,
}

/// Reads a query.
pub(super) fn read(bytes: &[u8]) -> Incoming {
    let is_answer = bytes.get(2).is_none_or(|flags| flags & 0x80 != 0);
    if bytes.len() < HEADER_BYTES || is_answer {
        return Incoming::Noise;
    }
    let Ok(query) = Message::from_vec(bytes) else {
        return Incoming::Refused(refuse(bytes, ResponseCode::FormErr));
    };
    if query.metadata.op_code != OpCode::Query {
        return Incoming::Refused(refuse(bytes, ResponseCode::NotImp));
    }
    let [question] = query.queries.as_slice() else {
        return Incoming::Refused(refuse(bytes, ResponseCode::FormErr));
    };
    if question.query_class() != DNSClass::IN {
        return Incoming::Refused(refuse(bytes, ResponseCode::Refused));
    }
    let kind = match question.query_type() {
        RecordType::A | RecordType::ANY => Kind::Address,
        RecordType::PTR => Kind::Pointer,
        RecordType::AAAA | RecordType::HTTPS | RecordType::SVCB => Kind::Beside,
        _ => Kind::Other,
    };
    let labels: Vec<_> = question
        .name()
        .iter()
        .map(String::from_utf8_lossy)
        .collect();
    let name = labels.join(".");
    Incoming::Question(Box::new(Question { query, name, kind }))
}

/// Writes an answer of the zone; addresses in the order given.
pub(super) fn answer(question: &Question, answer: &Answer, transport: Transport) -> Vec<u8> {
    let mut reply = reply_to(&question.query);
    let name = || question.query.queries[0].name().clone();
    match answer {
        Answer::Addresses(addresses) => {
            reply.add_answers(addresses.iter().map(|address| a(name(), *address)));
        }
        Answer::Pointer(target) => match Name::from_labels(target.split('.').map(str::as_bytes)) {
            Ok(mut target) => {
                target.set_fqdn(true);
                let data = RData::PTR(PTR(target));
                reply.add_answer(Record::from_rdata(name(), TTL, data));
            }
            Err(_) => reply.metadata.response_code = ResponseCode::NXDomain,
        },
        Answer::Empty => {}
        Answer::NoSuchName => reply.metadata.response_code = ResponseCode::NXDomain,
        Answer::Upstream => reply.metadata.response_code = ResponseCode::ServFail,
    }
    encode(&reply, limit(&question.query, transport))
}

/// Writes SERVFAIL: nobody upstream could be asked.
pub(super) fn failure(question: &Question) -> Vec<u8> {
    let mut reply = reply_to(&question.query);
    reply.metadata.response_code = ResponseCode::ServFail;
    encode(&reply, PLAIN_BYTES_MAX)
}

/// Mixes the order, so that clients which take the first address spread over replicas.
pub(super) fn shuffle(addresses: &mut [Ipv4Addr], mut random: u64) {
    for end in (1..addresses.len()).rev() {
        // SplitMix64's increment and one xor-shift: even enough for spreading.
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let count = u64::try_from(end + 1).expect("a usize fits");
        let other = usize::try_from((mixed >> 11) % count).expect("below a usize");
        addresses.swap(end, other);
    }
}

fn a(name: Name, address: Ipv4Addr) -> Record {
    Record::from_rdata(name, TTL, RData::A(A(address)))
}

fn reply_to(query: &Message) -> Message {
    let mut reply = Message::response(query.metadata.id, OpCode::Query);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(u16::try_from(EDNS_BYTES_MAX).expect("4096 fits"));
        reply.set_edns(edns);
    }
    reply
}

fn limit(query: &Message, transport: Transport) -> usize {
    match (transport, &query.edns) {
        (Transport::Stream, _) => usize::from(u16::MAX),
        (Transport::Datagram, None) => PLAIN_BYTES_MAX,
        (Transport::Datagram, Some(edns)) => {
            usize::from(edns.max_payload()).clamp(PLAIN_BYTES_MAX, EDNS_BYTES_MAX)
        }
    }
}

fn encode(reply: &Message, limit: usize) -> Vec<u8> {
    match reply.to_vec() {
        Ok(bytes) if bytes.len() <= limit => bytes,
        _ => {
            let cut = reply.truncate();
            debug_assert_eq!(cut.metadata.message_type, MessageType::Response);
            cut.to_vec().unwrap_or_default()
        }
    }
}

/// Repeats the header with an error code and no sections: what is behind it could not be read.
fn refuse(query: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut reply = query[..HEADER_BYTES].to_vec();
    reply[2] = (reply[2] & 0x79) | 0x80;
    reply[3] = 0x80 | (u16::from(code).to_be_bytes()[1] & 0x0f);
    reply[4..].fill(0);
    reply
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use proptest::prelude::*;

    use super::*;

    fn query(name: &str, kind: RecordType, edns: Option<u16>) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(
            Name::from_labels(name.trim_end_matches('.').split('.').map(str::as_bytes)).unwrap(),
            kind,
        ));
        if let Some(size) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(size);
            message.set_edns(edns);
        }
        message.to_vec().unwrap()
    }

    fn question(bytes: &[u8]) -> Question {
        match read(bytes) {
            Incoming::Question(question) => *question,
            other => panic!("not a question: {other:?}"),
        }
    }

    fn many(count: u32) -> Answer {
        let first = u32::from(Ipv4Addr::new(10, 1, 0, 2));
        Answer::Addresses((first..first + count).map(Ipv4Addr::from).collect())
    }

    #[test]
    fn questions_are_told_apart() {
        for (kind, expected) in [
            (RecordType::A, Kind::Address),
            (RecordType::AAAA, Kind::Beside),
            (RecordType::HTTPS, Kind::Beside),
            (RecordType::PTR, Kind::Pointer),
            (RecordType::MX, Kind::Other),
            (RecordType::TXT, Kind::Other),
        ] {
            let question = question(&query("My_Service-1.example.", kind, None));
            assert_eq!(question.kind, expected);
            assert_eq!(question.name, "My_Service-1.example");
        }
    }

    #[test]
    fn an_answer_carries_id_question_and_records() {
        let bytes = query("db.", RecordType::A, Some(1232));
        let reply = answer(&question(&bytes), &many(3), Transport::Datagram);
        let reply = Message::from_vec(&reply).unwrap();
        assert_eq!(reply.metadata.id.to_be_bytes(), bytes[..2]);
        assert!(reply.metadata.recursion_available && reply.metadata.recursion_desired);
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        assert_eq!((reply.queries.len(), reply.answers.len()), (1, 3));
        assert!(reply.edns.is_some());
        assert_eq!(reply.answers[0].ttl, TTL);
    }

    #[test]
    fn datagrams_are_cut_at_the_clients_size_and_streams_are_not() {
        let reply = |edns, transport| {
            let question = question(&query("db.", RecordType::A, edns));
            let bytes = answer(&question, &many(200), transport);
            (bytes.len(), Message::from_vec(&bytes).unwrap())
        };
        for (edns, transport, cut) in [
            (None, Transport::Datagram, true),
            (Some(1232), Transport::Datagram, true),
            (Some(4096), Transport::Datagram, false),
            (None, Transport::Stream, false),
        ] {
            let (length, message) = reply(edns, transport);
            assert_eq!(message.metadata.truncation, cut, "{edns:?} {transport:?}");
            assert_eq!(message.answers.is_empty(), cut);
            assert!(!cut || length <= 512);
        }
    }

    #[test]
    fn noise_is_dropped_and_malformed_queries_are_refused() {
        let good = query("db.", RecordType::A, None);
        assert!(matches!(read(&good[..11]), Incoming::Noise));
        let mut an_answer = good.clone();
        an_answer[2] |= 0x80;
        assert!(matches!(read(&an_answer), Incoming::Noise));
        let Incoming::Refused(reply) = read(&good[..14]) else {
            panic!("a cut query");
        };
        assert_eq!(reply.len(), HEADER_BYTES);
        let reply = Message::from_vec(&reply).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::FormErr);
        assert_eq!(reply.metadata.message_type, MessageType::Response);
        let mut update = good;
        update[2] = 5 << 3;
        let Incoming::Refused(reply) = read(&update) else {
            panic!("an update");
        };
        assert_eq!(reply[3] & 0x0f, 4);
    }

    #[test]
    fn shuffling_keeps_all_and_reaches_every_first_place() {
        let addresses: Vec<Ipv4Addr> = (1..=3).map(|last| [10, 0, 0, last].into()).collect();
        let mut first = std::collections::HashSet::new();
        for seed in 0..100 {
            let mut mixed = addresses.clone();
            shuffle(&mut mixed, seed);
            first.insert(mixed[0]);
            mixed.sort();
            assert_eq!(mixed, addresses);
        }
        assert_eq!(first.len(), 3);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            match read(&bytes) {
                Incoming::Question(question) => {
                    let reply = answer(&question, &many(40), Transport::Datagram);
                    prop_assert!(reply.len() <= EDNS_BYTES_MAX);
                }
                Incoming::Refused(reply) => prop_assert_eq!(reply.len(), HEADER_BYTES),
                Incoming::Noise => {}
            }
        }
    }
}
