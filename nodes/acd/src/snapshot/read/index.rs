//! What is built from restored rows: names, lists, pools, alarms. Refuses keys that name nothing.

use super::*;

pub(super) fn names(shard: &mut Shard) {
    shard.queue_names = shard.queues.iter().map(|(key, row)| (row.name.clone(), key)).collect();
    shard.gateway_ids = shard.gateways.iter().map(|(key, row)| (row.id.clone(), key)).collect();
    shard.agent_names = shard.agents.iter().map(|(key, row)| (row.name.clone(), key)).collect();
    shard.call_ids = shard.calls.iter().map(|(key, row)| (row.id, key)).collect();
}

/// Every key in a row names a row: what is built on them may then be looked up.
pub(super) fn check_keys(shard: &Shard) -> Result<()> {
    let queue = |key: QueueKey| shard.queues.get(key).map(|_| ()).ok_or(BROKEN("queue key"));
    let agent = |key: AgentKey| shard.agents.get(key).map(|_| ()).ok_or(BROKEN("agent key"));
    let somebody = |party: &Party| match party {
        Party::Agent(key) => agent(*key),
        Party::Outside(_) => Ok(()),
    };
    for (_, row) in shard.agents.iter() {
        row.members.iter().try_for_each(|member| queue(member.queue))?;
        row.seats.iter().try_for_each(|seat| queue(seat.queue))?;
        row.closing.map_or(Ok(()), |(key, _)| queue(key))?;
        for work in &row.work {
            shard.calls.get(work.call).ok_or(BROKEN("agent call"))?;
        }
    }
    for (_, call) in shard.calls.iter() {
        if let Some(line) = call.line.as_deref() {
            queue(line.queue)?;
            line.more.iter().try_for_each(|key| queue(*key))?;
            line.wanted.map_or(Ok(()), |wanted| agent(wanted.agent))?;
            line.shuns.map_or(Ok(()), agent)?;
        }
        match &call.state {
            CallState::Offered(offer) => {
                queue(offer.queue)?;
                offer.ringing.iter().try_for_each(|ringing| agent(ringing.agent))?;
                offer.tried.iter().try_for_each(|key| agent(*key))?;
            }
            CallState::Calling { agent: key, queue: at, .. } => {
                agent(*key)?;
                queue(*at)?;
            }
            CallState::Moving(moving) => {
                moving.back.map_or(Ok(()), agent)?;
                moving.ringing.iter().try_for_each(|(party, _)| somebody(party))?;
            }
            CallState::Talking(talk) => {
                somebody(&talk.party)?;
                talk.aside.as_ref().map_or(Ok(()), |aside| somebody(&aside.party))?;
            }
            CallState::Waiting | CallState::Asking { .. } if call.line.is_none() => return Err(BROKEN("call line")),
            CallState::Waiting | CallState::Asking { .. } | CallState::Leaving { .. } | CallState::Ended { .. } => {}
        }
        if call.in_line().is_none() && matches!(call.state, CallState::Offered(_) | CallState::Calling { .. }) {
            return Err(BROKEN("call line"));
        }
    }
    Ok(())
}

/// Builds everything that is not saved from what is.
pub(super) fn build(shard: &mut Shard, saved: &[SavedQueue]) -> Result<()> {
    shard.build_members();
    for row in saved {
        let key = QueueKey::from_slot(row.slot);
        let mut pools = Vec::with_capacity(row.pools.len());
        for pool in &row.pools {
            let asked = asked(&pool.demand, shard)?;
            let (demand, _) = shard.demands.key(&asked, &shard.skills);
            pools.push(Pool { demand, luck: pool.luck, ready: BTreeMap::new() });
        }
        if pools.first().is_none_or(|pool| pool.demand != 0) {
            return Err(BROKEN("queue pools"));
        }
        shard.queues[key].pools = pools;
        let calendar = shard.queues[key].policy.calendar.as_ref();
        shard.queues[key].open = calendar.is_none_or(|calendar| calendar.is_open(shard.now));
        shard.set_queue_alarm(key, row.alarm);
    }
    for key in shard.agents.keys() {
        let met = shard.demands.met_by(&shard.agents[key].policy.skills);
        shard.agents[key].able = met;
        for seat in shard.agents[key].seats.clone() {
            let pool = shard.queues[seat.queue].pools.get_mut(usize::from(seat.pool)).ok_or(BROKEN("agent seat"))?;
            pool.ready.insert(seat.standing, key);
        }
        if let Some(at) = shard.agents[key].alarm {
            shard.alarms.set(at, Alarm::Agent(key));
        }
        shard.set_contacts_alarm(key);
    }
    for key in shard.calls.keys() {
        let gateway = shard.calls[key].gateway;
        shard.gateways[gateway].calls.insert(key);
        if let (CallState::Talking(_), Some(line)) = (&shard.calls[key].state, shard.calls[key].line.as_deref()) {
            let queue = line.queue;
            shard.queues[queue].talking += 1;
        }
        if shard.calls[key].in_line().is_some() {
            shard.remember_callback(key);
        }
        shard.set_call_alarm(key);
    }
    shard.relist_calls();
    for (id, check_at) in
        shard.senders.rows.iter().map(|(id, row)| (*id, row.check_at)).collect::<Vec<(u64, Timestamp)>>()
    {
        shard.alarms.set(check_at, Alarm::Sender(id));
    }
    for at in [shard.interval_ends, shard.day_ends] {
        if at > 0 {
            shard.alarms.set(at, Alarm::Interval);
        }
    }
    // What was listed here was distributed before the snapshot.
    shard.fresh = Default::default();
    shard.settle_alarms();
    Ok(())
}
