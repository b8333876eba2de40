//! More than one Redis: under load, a server is lost or hands over, or sessions move between servers.

use std::time::Duration;

use redis::{Commands, RedisResult, cmd};

use crate::trial::Trial;
use test_support::app::App;
use test_support::cluster::{Cluster, Folder, begin_move, is_replicated};
use test_support::{RedisServer, free_port, wait_for};

/// How long some visitors may be refused while another server takes over.
const TAKEOVER: Duration = Duration::from_secs(10);

/// The master that has most of the visitors.
fn busiest(cluster: &Cluster) -> &RedisServer {
    cluster.masters().into_iter().max_by_key(|it| it.keys("").len()).unwrap()
}

#[test]
fn master_of_a_cluster_that_dies_is_replaced_and_no_count_is_lost() {
    let cluster = Cluster::start(1);
    let mut trial = Trial::start("A master of a cluster is killed", &cluster, &cluster.url());
    trial.with_fault_during(|| cluster.lose(busiest(&cluster), "KILL"));
    trial.outlast(TAKEOVER);
    // Until a server is replaced, the others say that the cluster is down.
    trial.end(&cluster, 1..=3);
}

#[test]
fn master_of_a_cluster_that_hangs_is_replaced_and_no_count_is_lost() {
    let cluster = Cluster::start(1);
    let mut trial = Trial::start("A master of a cluster is stopped", &cluster, &cluster.url());
    let master = busiest(&cluster);
    trial.with_fault_during(|| cluster.lose(master, "STOP"));
    trial.outlast(TAKEOVER);
    master.signal("CONT");
    trial.with_fault(Duration::from_secs(1));
    trial.end(&cluster, 1..=3);
}

#[test]
fn master_of_a_cluster_that_hands_over_takes_no_count_with_it() {
    let cluster = Cluster::start(1);
    let mut trial = Trial::start(
        "A master of a cluster hands over to its replica (`CLUSTER FAILOVER`)",
        &cluster,
        &cluster.url(),
    );
    let master = busiest(&cluster);
    // The master delays writes until its replica has them all. On a busy machine, some time out.
    trial.with_fault_during(|| cluster.hand_over(master));
    trial.outlast(TAKEOVER);
    trial.end(&cluster, 0..=3);
}

#[test]
fn slots_that_move_under_load_lose_no_count_and_refuse_no_request() {
    let cluster = Cluster::start(0);
    let mut trial = Trial::start("Slots move to another server", &cluster, &cluster.url());
    let from = busiest(&cluster);
    let to = cluster.masters().into_iter().find(|it| it.port != from.port).unwrap();
    let slots: Vec<_> = from.keys("").iter().map(|key| cluster.slot(key)).collect();
    trial.with_fault_during(|| {
        for slot in &slots {
            cluster.move_slot(*slot, to, || std::thread::sleep(Duration::from_millis(100)));
        }
        // Moves the slots back. By now, the application knows their new server.
        for slot in &slots {
            cluster.move_slot(*slot, from, || {});
        }
    });
    trial.assert_all_served();
    trial.end(&cluster, 0..=0);
}

#[test]
fn rotation_during_a_move_of_its_slot_waits_for_both_keys() {
    let cluster = Cluster::start(0);
    let app = App::on_redis(&cluster.url());
    let mut visitor = app.visitor();
    visitor.get("/foo");
    visitor.get("/foo");
    let slot = cluster.slot(&cluster.keys("")[0]);
    let from = cluster.owner(slot);
    let to = cluster.masters().into_iter().find(|it| it.port != from.port).unwrap();
    let reply = std::thread::scope(|threads| {
        let mut rotation = None;
        cluster.move_slot(slot, to, || {
            rotation = Some(threads.spawn(|| visitor.post("/session/regenerate")));
            std::thread::sleep(Duration::from_millis(200));
        });
        rotation.unwrap().join().unwrap()
    });
    assert_eq!(reply.status, 303, "{}", reply.head);
    assert_eq!(visitor.get("/foo").views(), 3);
}

#[test]
fn cluster_that_hangs_at_the_start_is_waited_for_once_and_heals() {
    let cluster = Cluster::start(0);
    for server in &cluster.servers {
        server.signal("STOP");
    }
    let app = App::on_redis(&cluster.url());
    let mut visitor = app.visitor();
    let mut took = Vec::new();
    for _ in 0..20 {
        let reply = visitor.get("/foo");
        assert_eq!((reply.status, reply.header("set-cookie")), (503, None));
        took.push(reply.took);
    }
    assert!(took[0] < Duration::from_millis(1_250), "{took:?}");
    took.sort_unstable();
    assert!(took[10] < Duration::from_millis(100), "half of them waited: {took:?}");
    for server in &cluster.servers {
        server.signal("CONT");
    }
    wait_for("the cluster to be found", || visitor.get("/foo").status == 200);
    let log = app.log();
    let times = |text: &str| log.matches(text).count();
    assert_eq!(times("ERROR Redis is unavailable"), times("WARN Redis answers again"), "{log}");
    assert!(times("ERROR") <= 4, "{log}");
}

#[test]
fn instance_that_has_found_no_cluster_finds_it_with_the_first_request_after_a_freeze() {
    let cluster = Cluster::start(0);
    for server in &cluster.servers {
        server.signal("STOP");
    }
    let app = App::on_redis(&cluster.url());
    let mut visitor = app.visitor();
    assert_eq!(visitor.get("/foo").status, 503);
    app.signal("STOP");
    for server in &cluster.servers {
        server.signal("CONT");
    }
    std::thread::sleep(Duration::from_millis(2_100));
    app.signal("CONT");
    assert_eq!(visitor.get("/foo").status, 200, "{}", app.log());
}

#[test]
fn server_that_dies_while_a_slot_moves_to_it_is_an_outage_of_that_slot_alone() {
    let mut cluster = Cluster::start(0);
    cluster.add_server();
    let app = App::on_redis(&cluster.url());
    let (mut gone, mut other) = (app.visitor(), app.visitor());
    for visitor in [&mut gone, &mut other] {
        wait_for("the cluster to be found", || visitor.get("/foo").status == 200);
    }
    let slot_of = |visitor: &test_support::app::Visitor| {
        let session = visitor.clone().get("/session").body;
        let keys = cluster.keys("");
        let is_own = |key: &&String| session.contains(&key[key.find('{').unwrap() + 1..][..36]);
        cluster.slot(keys.iter().find(is_own).expect("the session's page names its handle"))
    };
    let slot = slot_of(&gone);
    assert_ne!(slot, slot_of(&other));
    let (from, to) = (cluster.owner(slot), &cluster.servers[3]);
    begin_move(slot, from, to);
    assert_eq!(gone.get("/foo").status, 200, "sent on by ASK");
    to.signal("KILL");
    let mut took = Vec::new();
    for _ in 0..40 {
        let reply = gone.get("/foo");
        assert_eq!((reply.status, reply.header("set-cookie")), (503, None));
        took.push(reply.took);
        assert_eq!(other.get("/foo").status, 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    took.sort_unstable();
    assert!(took[took.len() / 2] < Duration::from_millis(50), "{took:?}");
    assert_eq!(app.log().matches("ERROR").count(), 1, "{}", app.log());
    assert_eq!(app.log().matches("answers again").count(), 0, "{}", app.log());
}

#[test]
fn plain_url_of_a_cluster_names_the_remedy() {
    let cluster = Cluster::start(0);
    let apps: Vec<_> = cluster.servers.iter().map(|it| App::on_redis(&it.url())).collect();
    // Two of three servers do not have the session's slot.
    wait_for("one of them to say so", || {
        apps.iter().any(|app| {
            app.visitor().get("/foo");
            app.log().contains("write `redis-cluster://`")
        })
    });
}

/// A master, a replica and three sentinels.
struct Watched {
    servers: [RedisServer; 2],
    sentinels: Vec<RedisServer>,
    _folder: Folder,
}

impl Watched {
    fn start() -> Self {
        let master = RedisServer::start_with(free_port(), "--repl-diskless-sync-delay 0");
        let folder = Folder::new("sentinels");
        let replica = RedisServer::start_with(
            free_port(),
            &format!("--replicaof 127.0.0.1 {} --dir {}", master.port, folder.0.display()),
        );
        let ports = std::array::from_fn(|_| free_port());
        let sentinels = sentinels_of(&master, &folder, ports);
        let watched = Self { sentinels, servers: [master, replica], _folder: folder };
        for sentinel in &watched.sentinels {
            wait_for("the sentinels to know each other and the replica", || {
                let about: String =
                    cmd("INFO").arg("sentinel").query(&mut sentinel.connect()).unwrap();
                about.contains("status=ok") && about.contains("slaves=1,sentinels=3")
            });
        }
        wait_for("the replica to be in step", || is_replicated(&watched.servers[0]));
        watched
    }

    fn url(&self) -> String {
        url_of(&self.sentinels)
    }
}

/// Starts three sentinels that watch a master and know of no failover yet.
fn sentinels_of(master: &RedisServer, folder: &Folder, ports: [u16; 3]) -> Vec<RedisServer> {
    let sentinels = ports.map(|port| {
        let file = folder.0.join(format!("{port}.conf"));
        let text = format!(
            "port {port}\nbind 127.0.0.1\n\
             sentinel monitor sessions 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds sessions 500\n\
             sentinel failover-timeout sessions 3000\n",
            master.port
        );
        std::fs::write(&file, text).unwrap();
        RedisServer::run(port, &format!("{} --sentinel", file.display()))
    });
    sentinels.into()
}

fn url_of(sentinels: &[RedisServer]) -> String {
    let [first, second, _] = sentinels else { panic!("there are three") };
    format!(
        "redis-sentinel://127.0.0.1:{}?node=127.0.0.1:{}&sentinelServiceName=sessions",
        first.port, second.port
    )
}

#[test]
fn master_that_dies_under_sentinels_is_replaced_and_no_count_is_lost() {
    let watched = Watched::start();
    let [master, replica] = &watched.servers;
    let mut trial = Trial::start(
        "The master is killed together with one of its sentinels",
        master,
        &watched.url(),
    );
    master.signal("KILL");
    // The sentinel that the URL names first is killed too.
    watched.sentinels[0].signal("KILL");
    trial.with_fault(Duration::from_secs(1));
    trial.outlast(TAKEOVER);
    trial.end(replica, 1..=1);
    let _: () = replica.connect().ping().unwrap();
}

#[test]
fn master_that_sentinels_replace_in_peace_takes_no_count_with_it() {
    let watched = Watched::start();
    let [master, replica] = &watched.servers;
    let mut trial = Trial::start(
        "Sentinels promote the replica while the old master keeps running",
        master,
        &watched.url(),
    );
    let bound = ["SET", "min-replicas-to-write", "1"];
    cmd("CONFIG").arg(&bound).exec(&mut master.connect()).unwrap();
    let is_master = |server: &RedisServer| {
        // A server that is promoted closes all connections.
        let client = redis::Client::open(server.url()).unwrap();
        let about: RedisResult<String> = client
            .get_connection()
            .and_then(|mut connection| cmd("INFO").arg("replication").query(&mut connection));
        about.is_ok_and(|it| it.contains("role:master"))
    };
    // No request is sent at that moment, because writes that are not replicated by then are lost.
    wait_for("the replica to be in step", || is_replicated(master));
    let failover = ["FAILOVER", "sessions"];
    cmd("SENTINEL").arg(&failover).exec(&mut watched.sentinels[0].connect()).unwrap();
    wait_for("the replica to be the master", || is_master(replica));
    let took = trial.outlast(TAKEOVER);
    assert!(is_master(master), "it was left within {took:?}, while it kept running");
    trial.end(replica, 0..=3);
}

#[test]
fn sentinels_that_are_set_up_again_with_another_master_are_trusted() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let folder = Folder::new("sentinels");
    let ports = std::array::from_fn(|_| free_port());
    let sentinels = sentinels_of(&old, &folder, ports);
    let app = App::on_redis(&url_of(&sentinels));
    let mut visitor = app.visitor();
    wait_for("the master to be found", || visitor.get("/foo").status == 200);
    drop(sentinels);
    // The new sentinels count failovers from 0 again, and the old master still answers.
    let _sentinels = sentinels_of(&new, &folder, ports);
    wait_for("the new master to be used", || {
        visitor.get("/foo");
        !new.keys("").is_empty()
    });
    let of_the_old = old.commands();
    for _ in 0..20 {
        assert_eq!(visitor.get("/foo").status, 200);
    }
    assert_eq!(of_the_old.get("hincrby"), old.commands().get("hincrby"), "it gets no more views");
}
