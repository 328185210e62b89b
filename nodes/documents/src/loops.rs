//! Finds calls that would go in a circle: over queues, numbers and agents' forwardings. Looks only at what happens by
//! itself; a caller who presses a key chooses.

use std::collections::BTreeMap;

use proto::v1::{Document, DocumentError, document};

use super::{Key, Sourced, limits::LOOP_SHOWN_MAX, plan::refusal, references::references};

/// Kind, name and whose it is.
type Place<'a> = (&'static str, &'a str, &'a str);

/// One way from a document to another.
struct Way<'a> {
    to: Place<'a>,
    field: String,
    /// Where it was written, when it comes with this apply, and the how-manieth document of the apply it is.
    from: Option<(usize, &'a Sourced<Document>)>,
}

/// What is on the way of the search.
struct Visit<'a> {
    at: Place<'a>,
    next: usize,
}

/// An error for each circle that is closed by what comes in, at the first of its documents.
pub(super) fn circles(
    whole: &BTreeMap<Key, (&Document, Option<&Sourced<Document>>)>,
    incoming: &[Sourced<Document>],
) -> Vec<DocumentError> {
    let ways = ways(whole, incoming);
    let mut errors = Vec::new();
    // False while it is on the way, true when all ways from it are known.
    let mut seen: BTreeMap<Place<'_>, bool> = BTreeMap::new();
    for start in ways.keys() {
        if seen.contains_key(start) {
            continue;
        }
        seen.insert(*start, false);
        let mut visits = vec![Visit { at: *start, next: 0 }];
        while let Some(visit) = visits.last_mut() {
            let Some(way) = ways.get(&visit.at).and_then(|ways| ways.get(visit.next)) else {
                seen.insert(visit.at, true);
                visits.pop();
                continue;
            };
            visit.next += 1;
            match seen.get(&way.to) {
                None => {
                    seen.insert(way.to, false);
                    visits.push(Visit { at: way.to, next: 0 });
                }
                Some(false) => {
                    let from = visits.iter().position(|visit| visit.at == way.to).unwrap_or_default();
                    errors.extend(circle(&ways, &visits[from..]));
                }
                Some(true) => {}
            }
        }
    }
    errors
}

fn ways<'a>(
    whole: &BTreeMap<Key, (&'a Document, Option<&'a Sourced<Document>>)>,
    incoming: &'a [Sourced<Document>],
) -> BTreeMap<Place<'a>, Vec<Way<'a>>> {
    let order: BTreeMap<&Key, usize> = incoming.iter().map(|document| &document.key).zip(0..).collect();
    let mut ways: BTreeMap<Place<'_>, Vec<Way<'_>>> = BTreeMap::new();
    for (key, (document, sourced)) in whole {
        let tenant = document.tenant.as_str();
        let place: Place<'_> = match &document.kind {
            Some(document::Kind::Number(number)) => ("Number", &number.name, tenant),
            Some(document::Kind::Queue(queue)) => ("Queue", &queue.name, tenant),
            Some(document::Kind::Forwarding(forwarding)) => ("Agent", &forwarding.agent, tenant),
            _ => continue,
        };
        let from = sourced.map(|sourced| (order.get(key).copied().unwrap_or_default(), sourced));
        let leading = references(document).into_iter().filter(|reference| reference.leads);
        let leading = leading.map(|way| Way { to: (way.kind, way.name, tenant), field: way.field, from });
        ways.entry(place).or_default().extend(leading);
    }
    ways
}

/// None when nothing of it comes in: then it was there before.
fn circle(ways: &BTreeMap<Place<'_>, Vec<Way<'_>>>, visits: &[Visit<'_>]) -> Option<DocumentError> {
    let written = visits.iter().enumerate().filter_map(|(index, visit)| Some((index, taken(ways, visit)?)));
    let (first, (way, (_, source))) = written.min_by_key(|(_, (_, (order, _)))| *order)?;
    let places = visits.iter().cycle().skip(first).take(visits.len() + 1);
    let mut names: Vec<String> = places.map(|visit| format!("{} {}", visit.at.0.to_lowercase(), visit.at.1)).collect();
    if names.len() > LOOP_SHOWN_MAX {
        let left = names.len() - LOOP_SHOWN_MAX;
        names.splice(LOOP_SHOWN_MAX - 1..names.len() - 1, [format!("({left} more)")]);
    }
    let message = format!("calls would go in a circle: {}", names.join(", "));
    Some(refusal(source, &way.field, message, "ways that do not come back".to_owned()))
}

fn taken<'w, 'a>(
    ways: &'w BTreeMap<Place<'a>, Vec<Way<'a>>>,
    visit: &Visit<'a>,
) -> Option<(&'w Way<'a>, (usize, &'a Sourced<Document>))> {
    let way = ways.get(&visit.at)?.get(visit.next.checked_sub(1)?)?;
    Some((way, way.from?))
}
