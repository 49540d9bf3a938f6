//! One simulated world from its start to its end: its hosts, and the loop that moves its time. Decides nothing.

use std::{
    cell::RefCell,
    io,
    panic::PanicHookInfo,
    path::Path,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use boss_base::{clock::Clock, net::Network, tasks::Tasks};
use boss_raft::{
    Member, ReadMode,
    config::{Media, Store},
    log::Disk,
};
use boss_server::{
    app::{App, Environment},
    config::Config,
};
use boss_verify::{
    checkers::{Verdict, broken, generate::Random},
    history::Recorder,
};
use tokio_util::sync::CancellationToken;
use turmoil::Sim;

use super::{
    Judged, Options,
    clock::{EPOCH_UNIX, SimulatedClock},
    disk::{SimulatedDisk, Speed},
    fabric::Simulated,
    faults::{CLIENTS, Disturber, Order},
    papers::Papers,
    schedule,
    work::{self, Done, Work},
};

/// Hosts take turns of so much simulated time.
const TICK: Duration = Duration::from_millis(1);
const LATENCY_MIN: Duration = Duration::from_micros(300);
const LATENCY_MAX: Duration = Duration::from_millis(12);
/// Segments on their way in one direction of a connection.
const SEGMENTS_MAX: usize = 4_096;
/// Beside the clients' work: the start of the servers, and until all have caught up.
const AROUND: Duration = Duration::from_secs(240);

/// A server that can be started again and again.
struct Machine {
    config: Config,
    clock: Arc<SimulatedClock>,
    disk: Speed,
}

pub(super) fn run(options: &Options, history: &Path, tell_time: fn(Duration)) -> io::Result<(Done, Duration)> {
    let panics = count_panics();
    let memory = tempfile::Builder::new().prefix("boss-simulate-").tempdir_in(in_memory())?;
    let papers = Papers::make(memory.path(), options.servers)?;
    let mut random = Random(options.seed);
    let reads = if random.below(3) == 0 { ReadMode::Lease } else { ReadMode::Confirm };
    let machine = |member: &Member| {
        let clock = Arc::new(SimulatedClock::new(random.draw()));
        papers.config(member, reads).map(|config| Machine { config, clock, disk: Speed::default() })
    };
    let machines: Vec<Machine> = papers.members().iter().map(machine).collect::<io::Result<_>>()?;
    let mut sim = build(options);
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(random.draw()));
    let recorder = Arc::new(Recorder::by_clock(history, Arc::clone(&clock))?);
    let orders: Rc<RefCell<Vec<Order>>> = Rc::default();
    let leader = Rc::default();
    let disturber = Disturber {
        recorder: Arc::clone(&recorder),
        orders: Rc::clone(&orders),
        clocks: machines.iter().map(|machine| Arc::clone(&machine.clock)).collect(),
        disks: machines.iter().map(|machine| machine.disk.clone()).collect(),
        leader: Rc::clone(&leader),
    };
    for machine in machines {
        add_server(&mut sim, machine);
    }
    let done: Rc<RefCell<Option<Done>>> = Rc::default();
    let rows = if options.faults {
        schedule::draw(options.seed, options.servers, options.duration)
    } else {
        Default::default()
    };
    let work = Work {
        options: options.clone(),
        token: papers.admin_token()?,
        ca_pem: papers.ca_pem().to_owned(),
        members: papers.members().to_vec(),
        clock,
        recorder,
        disturber,
        rows,
        leader,
    };
    let result = Rc::clone(&done);
    sim.client(CLIENTS, async move {
        let told = Box::pin(work::run(work)).await?;
        result.replace(Some(told));
        Ok(())
    });
    let ended = go_on(&mut sim, &orders, tell_time);
    let lasted = sim.elapsed();
    drop(sim);
    let mut done = done.take().unwrap_or_default();
    done.judged
        .push(Judged { promise: "no server ends by itself", verdict: ended.map_or_else(broken, |()| Verdict::Valid) });
    let panics = panics.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let verdict =
        panics.first().map_or(Verdict::Valid, |first| broken(format!("{} panics, first {first}", panics.len())));
    done.judged.push(Judged { promise: "nothing panics", verdict });
    Ok((done, lasted))
}

/// A file system in memory where there is one: what simulated disks hold must not wait for a real one.
fn in_memory() -> std::path::PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() }
}

/// The first is what matters; the rest may be its echo.
fn count_panics() -> Arc<Mutex<Vec<String>>> {
    let panics: Arc<Mutex<Vec<String>>> = Arc::default();
    let counted = Arc::clone(&panics);
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        counted.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
        show(panic);
    }));
    panics
}

fn build<'a>(options: &Options) -> Sim<'a> {
    turmoil::Builder::new()
        .rng_seed(options.seed)
        .epoch(UNIX_EPOCH + EPOCH_UNIX)
        .simulation_duration(options.duration + AROUND)
        .tick_duration(TICK)
        .min_message_latency(LATENCY_MIN)
        .max_message_latency(LATENCY_MAX)
        .tcp_capacity(SEGMENTS_MAX)
        .enable_random_order()
        .build()
}

fn add_server(sim: &mut Sim<'_>, machine: Machine) {
    let name = machine.config.name.clone();
    let machine = Rc::new(machine);
    sim.host(name, move || {
        let machine = Rc::clone(&machine);
        async move { serve(&machine).await }
    });
}

async fn serve(machine: &Machine) -> turmoil::Result {
    let disk = machine.disk.clone();
    let environment = Environment {
        tasks: Tasks::on_one_thread(),
        network: Network::of(Simulated),
        media: Media {
            log_disk: Some(Arc::new(move || Box::new(SimulatedDisk(disk.clone())) as Box<dyn Disk>)),
            store: Store::None,
        },
        ..Environment::new(machine.clock.clone(), None)
    };
    let app = Box::pin(App::build(machine.config.clone(), environment)).await?;
    Box::pin(app.run(CancellationToken::new())).await?;
    Err("a server ended although nobody asked it to".into())
}

/// Until the clients are done; what ended it else.
fn go_on(sim: &mut Sim<'_>, orders: &Rc<RefCell<Vec<Order>>>, tell_time: fn(Duration)) -> Result<(), String> {
    loop {
        tell_time(sim.elapsed());
        if sim.step().map_err(|error| error.to_string())? {
            return Ok(());
        }
        for order in orders.take() {
            carry_out(sim, order);
        }
    }
}

fn carry_out(sim: &mut Sim<'_>, order: Order) {
    match order {
        Order::Crash(host) => sim.crash(host),
        Order::Start(host) => sim.bounce(host),
        Order::Latency(from, to, most) => sim.set_link_max_message_latency(from, to, most.unwrap_or(LATENCY_MAX)),
        Order::Loss(from, to, part) => sim.set_link_fail_rate(from, to, part),
    }
}
