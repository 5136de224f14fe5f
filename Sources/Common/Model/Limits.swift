/// Every bound of the relay and its protocol, each with its reason. What an operator may change is a configuration key
/// whose default stands here; the rest is fixed.
package enum Limits {
    // MARK: Messages

    /// Ciphertext of one message: 64 KiB, which the published designs call a text message, and room for the envelope around the padded
    /// text (73 bytes in version 1). Configurable up to `bodyBytesCeiling`.
    package static let bodyBytes = 64 * 1024 + 128
    /// More would let one sender hold the writer for longer than a batch may last.
    package static let bodyBytesCeiling = 1024 * 1024 + 128
    /// Wrapped keys in one send: a group of 1,000 with five devices each at 64 bytes a key, rounded up.
    package static let keyRoomBytes = 384 * 1024
    /// One wrapped key. X25519 boxes take 48; the rest is room for later envelope versions.
    package static let wrappedKeyBytes = 256
    /// Members of a chat, from the published designs.
    package static let chatMembers = 1000
    /// Chats of a user, former ones included: a device that comes back looks into each of them.
    package static let chatsPerUser = 5000
    /// Members whose wrapped keys are one row of the store: those of a larger group are spread over several, so that a member's are found
    /// without reading everybody's.
    package static let keyRowMembers = 32
    /// Members up to which single receipts of a group are kept and pushed to the author of a message; beyond, counts are fetched.
    package static let receiptMembers = 50
    /// Messages named in one deletion.
    package static let deletionsAtOnce = 256
    package static let devicesPerUser = 5
    /// A device number in a packed key list is found by a linear scan; more would ask for another format.
    package static let devicesPerUserCeiling = 16

    // MARK: Names

    /// Characters of a user name after normalisation.
    package static let userNameCharacters = 64
    package static let displayNameCharacters = 128
    package static let deviceNameCharacters = 64
    package static let avatarReferenceBytes = 512
    /// The reason an operator gives; it goes into the audit log.
    package static let reasonCharacters = 256

    // MARK: Streams

    /// Envelopes a device may hold unacknowledged. Bounds the memory of a slow device: 256 × (24 bytes of window).
    package static let unacknowledgedEnvelopes = 256
    /// Envelopes and bytes read from the mailbox in one page: a page must fit the socket's high watermark a few times over.
    package static let drainPageEnvelopes = 64
    package static let drainPageBytes = 256 * 1024
    /// Receipts in one page: twice as many as one acknowledgement can move, so that a page always holds a whole one.
    package static let receiptPageRows = 2 * unacknowledgedEnvelopes
    /// Bytes waiting in one socket before the relay stops pushing to it.
    package static let socketHighWatermarkBytes = 256 * 1024
    package static let socketLowWatermarkBytes = 64 * 1024
    /// Sockets that are flushed for the copies of a large group before others get their turn: half a millisecond of an event loop.
    package static let fanOutSlice = 64
    /// A message to more members than this is flushed in slices.
    package static let fanOutMembers = 32
    /// Acknowledgements of an event loop gather for at least so long before they ride with a send's commit: under load a device's cursor is
    /// then written some times a second, not with each batch.
    package static let acknowledgementInterval = Duration.milliseconds(20)
    /// Without a send to ride with they are committed after so long, in a commit of their own. Receipts come later by as much, which
    /// nobody sees; a device that comes back after a crash is sent again what it acknowledged meanwhile.
    package static let acknowledgementDelay = Duration.milliseconds(100)
    /// Acknowledgements in one command.
    package static let acknowledgementsAtOnce = 256
    /// Sends of one connection that wait for the disk; beyond, its socket is not read.
    package static let sendsInFlight = 256
    /// Own messages that a sending device's stored cursor may lag behind: what it would pass over again after a break.
    package static let ownMessagesBehindCursor: UInt64 = 256

    // MARK: Contacts

    /// Contacts of a user, blocked strangers included: the published design's number.
    package static let contacts = 1000
    /// Requests to a user that are not answered; more are refused, so that strangers cannot fill the store.
    package static let contactRequests = 1000
    /// Ended contacts that a user's devices can still hear of by asking what changed; who was away for longer gets the whole list.
    package static let endedContacts = 1000
    /// Characters of a contact's label.
    package static let contactCategoryCharacters = 64
    /// Groups that one block takes the user out of in its own transaction; of more they are taken out in further ones.
    package static let sharedGroupsAtOnce = 64
    /// Contacts that a client asks for at once.
    package static let contactsPage = pageSizeCeiling

    // MARK: Keys

    /// One-time prekeys of a device on the relay, and in one upload: the field's number, which lasts for a hundred new conversations.
    package static let oneTimePrekeys = 100
    /// Fewer raise an alert, once each time they run low.
    package static let lowPrekeys = 10
    /// How long a key that was replaced stays valid: a week covers a device that was left at home.
    package static let keyGrace = Duration.seconds(7 * 24 * 3600)
    package static let keyGraceCeiling = Duration.seconds(30 * 24 * 3600)
    /// Replaced keys of one kind that a device has at the same time. The oldest ends early; a message that was sealed for it is refused and sealed
    /// anew.
    package static let formerKeys = 16
    /// A device renews its keys once in some days. Each change is told to up to 1,000 contacts, and goes to their five devices each.
    package static let keyChangeWindow = Duration.seconds(24 * 3600)
    package static let keyChangesBeforeAlert = 10
    /// Beyond, changes are refused until the window is over.
    package static let keyChangesInWindow = 50
    /// Bundles that one user may fetch of another at once, and how long until one more: each takes a one-time prekey of every device. Five devices
    /// that all begin a conversation fit twice; the two hundred that would drain a device take more than a day.
    package static let prekeyFetchesOfPair = 10
    package static let prekeyFetchOfPairInterval = Duration.seconds(600)
    /// Bundles that one device may fetch at once: all contacts of a user. And how long until one more.
    package static let prekeyFetchesOfDevice = contacts
    package static let prekeyFetchOfDeviceInterval = Duration.seconds(1)
    /// Users without being contacts who hear of a key change, on a relay where everybody is: those of the newest chats.
    package static let keyChangeChats = 1000

    // MARK: Keys of a client

    /// A client replaces its agreement key when it is older than this: who gets hold of a device's secrets can open what was sealed for it within this
    /// time and the grace, and nothing before. As long as the grace, so that a former key or two are kept.
    package static let agreementKeyAge = keyGrace
    /// After a failure the client tries again when so much has passed, or with its next connection.
    package static let keyChangeRetry = Duration.seconds(60)
    /// How long a client that ends waits for the answer to a change of keys: what is on its way needs no longer, and whatever comes of it is
    /// repeated the next time.
    package static let keyChangeClosing = Duration.seconds(5)
    /// How often a list of devices is asked for again because keys changed while the answer was on its way.
    package static let deviceListRetries = 3
    /// Messages of a chat that a device asks for again and that have not come, of the last hour. It happens when a device has lost former secrets, for what
    /// was on its way then; a chat where more cannot be opened has another trouble, which more requests would not cure.
    package static let resendRequests = 32
    /// Messages that a device sends again in an hour, for whoever asks: each goes to everybody in its chat, so that one member who asks for all that was
    /// ever written must not flood the others.
    package static let resendAnswers = 256
    package static let resendWindow = Duration.seconds(3600)

    // MARK: Retention

    /// Messages that a purge deletes in one command at first; more or fewer afterwards, so that a step takes the writer as long as the next one says. A send
    /// waits for at most one step.
    package static let purgeStepRows = 64
    package static let purgeStepRowsFloor = 4
    package static let purgeStepRowsCeiling = 2048
    package static let purgeStep = Duration.milliseconds(2)
    /// After a step the purge rests so many times as long as the writer worked for it: most of the writer's time is for messages.
    package static let purgeRest = 5
    /// And at least so many times as long as it waited for the step, with the commit: the busier writer and disk are, the longer.
    package static let purgeRestOfWait = 2
    package static let purgeRestCeiling = Duration.milliseconds(200)
    /// Chats that a purge looks at together.
    package static let purgePage = 200
    /// Chats with something to purge that are kept in mind at once; the rest is the next round's.
    package static let purgeChats = 200_000
    /// Of the file's pages one in so many may be free: the next messages take those, which is cheaper than a file that shrinks and grows again.
    package static let freePagesKept = 20
    /// Classes of users with a policy of their own, and the length of a class's name.
    package static let retentionClasses = 100
    package static let retentionClassCharacters = 32

    // MARK: Figures about people

    /// How often what was counted in memory goes to the store. A crash loses at most that; more often would be commits for nothing.
    package static let peopleFlush = Duration.seconds(60)
    /// A period is closed so long after its end: what was stamped before it is committed and counted by then.
    package static let peopleGrace = Duration.seconds(10)
    /// Users and days whose contributions wait in memory for the next flush, some 100 bytes each. Beyond it nobody new is counted until then: more than
    /// can be connected to one host, five times over.
    package static let peopleTallies = 100_000
    /// Users whose rows are to go: a flush later there are none.
    package static let peopleForgotten = 10_000
    /// Contributions in one command: a few milliseconds of the writer.
    package static let peopleCountsAtOnce = 512
    /// In larger chats nobody asks who had what is purged: two milliseconds of the writer for a thousand members, and of those whose messages are fetched it
    /// would be a guess.
    package static let peopleUnreadMembers = 100
    /// The largest clamp: beyond it noise hides all that a relay of one host does.
    package static let peopleClampCeiling = 1000
    /// In thousandths. Above it a figure tells more about a person than it hides.
    package static let peopleEpsilonCeiling = 2000
    /// Below 50 users noise hides nobody well, and figures say nothing.
    package static let peopleMinimumUsers = 50...1_000_000
    package static let peopleThreshold = 1...1_000_000
    /// Periods of each figure in one answer: a year of days.
    package static let peoplePeriods = 366

    // MARK: Presence

    /// A device that takes part says so often that it is there; a user is offline when nothing came from any of their devices for so long. Six
    /// heartbeats: a change of the network, a tunnel, or a phone that sleeps for a moment does not show. From the published designs.
    package static let presenceHeartbeat = Duration.seconds(5)
    package static let presenceOfflineAfter = Duration.seconds(30)
    /// The relay's measure of presence: how finely it looks. A heartbeat is a note of the tick; the relay looks at the notes that are due.
    package static let presenceTick = Duration.seconds(1)
    /// Ticks that pass at most between two looks: while the relay itself did not run, nobody was silent.
    package static let presenceTicksAtOnce: Int64 = 2
    /// Slots of the timer wheel: what is due later than these ticks is looked at once in each round, so the default time-out is never.
    package static let presenceWheelSlots = 64
    /// A device is told of changes at most once in so many ticks. What changes meanwhile is not queued: the newest is told.
    package static let presenceInterval: UInt32 = 2
    /// A user who comes and goes is told of to others at most once in so many ticks: the first change at once.
    package static let presenceHold: UInt32 = 5
    /// The list of a user's contacts is read at most once in so many ticks, whatever their devices ask for.
    package static let presenceReload: UInt32 = 5
    /// A user who has gone is remembered for so many ticks: who comes back within them costs no look into the store, nor is told of once more.
    package static let presenceLinger: UInt32 = 60
    /// Lists of contacts that are read at the same time; others wait for their turn, so that deliveries need not.
    package static let presenceLoads = 16
    /// Contacts that are looked at before others get their turn: half a millisecond, in which joining devices wait.
    package static let presenceSlice = 4096
    /// When users were last there is stored once in so long, and when the relay stops: a crash loses as much.
    package static let lastSeenInterval = Duration.seconds(300)
    /// What others are told of it, and what is stored: people are shown no more.
    package static let lastSeenMilliseconds: Int64 = 60_000
    /// Users in one command: a send waits for at most some milliseconds.
    package static let lastSeenAtOnce = 256
    /// What one device may ask for by REST (groups' presence, settings) at once, and how long until one more.
    package static let presenceQueries = 20
    package static let presenceQueryInterval = Duration.seconds(3)

    // MARK: Writer

    /// Commands that wait for the writer. Beyond: `overloaded`, with a hint to come back.
    package static let writerInbox = 65_536
    /// Bytes of bodies that wait for the writer.
    package static let writerInboxBytes = 256 * 1024 * 1024
    /// From here on a WebSocket that brings a send is not read before all its sends are answered, so that the inbox does not fill: a third of
    /// a second of work, and room for one send more of each of 49,152 connections.
    package static let writerCrowd = writerInbox / 4
    package static let writerCrowdBytes = writerInboxBytes / 4
    /// Commands in one transaction. Measured: cost per row falls until some hundred rows, then only latency grows.
    package static let writerBatch = 1024
    package static let writerBatchBytes = 8 * 1024 * 1024
    /// For every so many connections a send waits a millisecond for others to share its commit, up to the patience below. A commit of one
    /// message costs four times what a message more in it does. At 19,000 connections, each with 4 KB a minute, the
    /// wait more than halves relayd's CPU time (0.17 to 0.08 cores) and takes p99 from 2 to 22 ms; a few hundred connections wait for nothing.
    package static let connectionsPerMillisecond = 1000
    package static let writerPatience = Duration.milliseconds(20)
    /// Commands that are enough for a commit: it costs little beside the work on them.
    package static let writerGathered = 64
    /// Pages of the store that the writer keeps in memory: the ends of some ten thousand active chats.
    package static let writerCacheBytes = 64 * 1024 * 1024
    /// Pages of 4 KiB in the write-ahead log from which on it is copied back (16 MiB): some twenty full batches, so that a page that every
    /// batch writes is copied once for all of them, and little enough that commits hardly wait for the disk meanwhile.
    package static let logPages = 4096
    /// Messages of a chat in which the writer looks for the first answer to a retry: nearly all of a connection's that are repeated after it broke, and
    /// at most a millisecond of the writer's time.
    package static let retryScan = 256
    /// Messages in which a reader looks for it at once, further back: 5 ms of its time. All of a chat of
    /// 100,000 messages takes a tenth of a second, in which others have had their turns.
    package static let retryPage = 4096
    /// Users, devices and members of chats that the engine keeps in memory (some 200 bytes each) before it forgets them all and loads afresh.
    package static let engineCacheEntries = 2_000_000
    /// Rows that one clean-up step deletes, so that sends wait for at most a few milliseconds.
    package static let removalStepRows = 1000
    /// Until what the relay itself wants done is tried again when the writer's inbox is full; and how often where somebody waits for it: longer than any
    /// surge that the relay gets through.
    package static let overloadPause = Duration.seconds(1)
    package static let overloadAttempts = 10

    // MARK: HTTP

    /// A REST body other than a send: enrolment, tokens, opening a chat.
    package static let restBodyBytes = 16 * 1024
    package static let controlBodyBytes = 64 * 1024
    /// Operators at the same time; bounds the descriptors that local users can take from clients.
    package static let controlConnections = 256
    /// From the first byte of a connection to the end of its request head, so that idle sockets do not pile up.
    package static let requestHeadTimeout = Duration.seconds(10)
    /// From a request's head to its last byte: twice what a full send takes over a slow mobile link.
    package static let requestBodyTimeout = Duration.seconds(60)
    /// One header field, and all of a request: a token and a page of browser headers fit several times over.
    package static let headerFieldBytes = 8 * 1024
    package static let headerBytes = 32 * 1024
    package static let headerFields = 100
    package static let idleHTTPTimeout = Duration.seconds(60)
    /// Client connections that are not WebSockets: enough for everybody who comes back at once after a restart (each is one for some
    /// milliseconds), and half of the fewest descriptors that relayd is content with.
    package static let httpConnections = 2048
    /// Descriptors that clients cannot take: those of operators, and room for the store, its readers, the event loops and the log.
    package static let reservedDescriptors = controlConnections + 256
    /// The relay pings a WebSocket that was silent for so long, and closes it when nothing came for twice that.
    package static let webSocketPingInterval = Duration.seconds(60)
    /// So many times in a ping interval an event loop looks at all its WebSockets, which bounds how late a ping is to a sixteenth.
    package static let webSocketSweeps: UInt8 = 16
    /// WebSockets that are looked at before others get their turn: some 50 microseconds of an event loop.
    package static let webSocketSweepSlice = 512
    /// How long a closing WebSocket waits for the other side before its socket goes.
    package static let webSocketCloseTimeout = Duration.seconds(2)
    /// What one read takes from a socket; the buffer lives only as long as its bytes.
    package static let receiveBufferBytes = 32 * 1024
    /// The same where one read was not enough: the largest text message in one. Below 128 KiB, from where on a buffer costs a call of the kernel.
    package static let largeReceiveBufferBytes = 96 * 1024
    /// What a WebSocket frame that arrives in pieces gets room for at once: the largest text message with the wrapped keys of a small chat. A
    /// longer one, which may be a promise only, grows by doubling.
    package static let messageRoomBytes = bodyBytes + 4096
    /// What a client is told to wait when the relay is overloaded: some hundred of the writer's batches.
    package static let overloadedRetry = Duration.seconds(1)
    package static let pageSize = 50
    package static let pageSizeCeiling = 500
    /// Bytes of envelopes in one page of history.
    package static let pageBytes = 4 * 1024 * 1024

    // MARK: Listening

    /// Connections that wait to be accepted, as far as the kernel's net.core.somaxconn (4096) allows: everybody comes back at once after a restart.
    package static let listenBacklog: Int32 = 4096

    // MARK: Stopping

    /// From when nobody is accepted any more to when the socket, and the connections on which nothing was asked, are closed: a client that has just
    /// connected is at its first request within milliseconds.
    package static let lastRequestPatience = Duration.milliseconds(100)
    /// How long connections may take to end when the relay stops; what is left then is cut.
    package static let stopPatience = Duration.seconds(10)
    /// For what was accepted: an inbox full of commands, on a disk that takes 100 ms for a flush.
    package static let stopWriting = Duration.seconds(60)

    // MARK: TLS

    /// From the connection to the end of the TLS handshake: as long as a request may take to come.
    package static let tlsHandshakeTimeout = requestHeadTimeout
    /// How long a key seals tickets; for as long again it opens them. Who took them and gets hold of the key later reads no more than a day.
    package static let tlsTicketKeyAge = Duration.seconds(12 * 3600)
    /// Sessions that a client keeps to take them up again: it talks to one relay, over a handful of connections.
    package static let tlsClientSessions = 16
    /// A certificate's or a key's file, and one with trusted certificates: the system's bundle of all has 220 KB.
    package static let tlsFileBytes = 1 << 20
    /// Plaintext of one record (RFC 8446, 5.1).
    package static let tlsRecordBytes = 16 * 1024
    /// Room for what one side says at once in a handshake: a certificate with those that signed it.
    package static let tlsFlightBytes = 4 * 1024
    /// Answers of TLS's own (to changes of keys, say) that wait for a client that does not read: more is an attack on the memory.
    package static let tlsAnswersUnread: UInt8 = 32
    /// How long a client may take to fetch the alert that ends its connection.
    package static let tlsAlertPatience = Duration.seconds(2)

    // MARK: Proxies

    /// A header of the PROXY protocol with all it may carry; those in the wild have 28 to 300 bytes.
    package static let proxyHeaderBytes = 1024
    /// It is the first thing a proxy sends.
    package static let proxyHeaderTimeout = Duration.seconds(5)
    /// Addresses and networks that are trusted as proxies: each new connection is compared with all of them.
    package static let proxyNetworks = 64
    /// A proxy whose headers are wrong is in the log so often: every connection of it is.
    package static let proxyComplaints = Duration.seconds(60)

    // MARK: Accounts

    package static let inviteLifetime = Duration.seconds(24 * 3600)
    package static let inviteLifetimeCeiling = Duration.seconds(30 * 24 * 3600)
    package static let invitesPerUser = 16
    package static let tokenLifetime = Duration.seconds(15 * 60)
    package static let challengeLifetime = Duration.seconds(60)
    package static let users = 1_000_000

    // MARK: Linking

    /// How long a link waits for the next step: time to fetch the other device and type a code of 32 characters, and little for somebody who finds
    /// it.
    package static let linkLifetime = Duration.seconds(600)
    /// A link that moves may take so long in all: the largest transfer at the speed of a slow mobile link.
    package static let linkDuration = Duration.seconds(3600)
    /// Links of one user at the same time: one from each of two devices, and one that was forgotten.
    package static let linksPerUser = 3
    /// Links of all users at the same time. Each keeps at most ``linkPartsHeld`` parts in memory and two requests waiting: together 64 MiB, and a
    /// quarter of ``httpConnections``.
    package static let links = 256
    /// Links that are over and remembered for the other device, which shall be told why; 64 bytes each, the oldest are forgotten first.
    package static let linksEnded = 1024
    /// One sealed part: small beside a link's memory, large beside its request's head.
    package static let linkPartBytes = 64 * 1024
    /// Parts of a link that the relay holds: one that is fetched, one that waits, and two on their way.
    package static let linkPartsHeld = 4
    /// Parts of one link: 256 MiB, the keys of six million messages.
    package static let linkParts = 4096
    /// A sealed hello, answer or receipt: 160 bytes of keys, the longest device name, and their seal.
    package static let linkMessageBytes = 1024
    /// How long a request waits for the other device before it is answered that there is nothing yet: below what proxies and clients bear.
    package static let linkWait = Duration.seconds(20)
    /// How often a forgotten link is looked for.
    package static let linkSweep = Duration.seconds(60)

    // MARK: Rates

    // Defaults of configuration keys. They are far above what people do, so that nobody notices them, and far below what would hurt others.

    /// Messages a second that a device may go on sending. A person types less than one; a script that pastes a text of thousands of lines
    /// waits a little. 50 of the largest messages are 3 MB a second for the disk.
    package static let messagesPerDevice = 50
    /// Of all devices of a user: two that send as fast as they may.
    package static let messagesPerUser = 100
    /// Of all users behind one address: an office of a thousand, all writing at once.
    package static let messagesPerAddress = 1000
    /// REST requests a second from one address. A device makes some twenty when it comes back; an office of 500 needs its minute's worth.
    package static let requestsPerAddress = 200
    /// TCP connections a second from one address: each device makes two when it comes back, and then keeps one.
    package static let connectionsPerAddress = 100
    /// Challenges, tokens and enrolments a second from one address. A sign-in takes two of them and one signature check (60 µs): 2 % of a core.
    package static let signInsPerAddress = 100
    /// A quarter of ``httpConnections``, so that no address can shut the others out; each is one for some milliseconds only.
    package static let pendingPerAddress = httpConnections / 4
    /// Upgrades to a WebSocket a second from everybody: each reads the store twice and later costs a TLS handshake (0.6 ms). All that a relay
    /// holds (19,000) are back within 20 seconds of a restart.
    package static let handshakesPerSecond = 1000
    /// A user who sends more than this in ``anomalyWindow`` is no person typing: one message each 30 ms for a whole minute.
    package static let anomalyMessages = 2000
    package static let anomalyWindow = Duration.seconds(60)

    /// A bucket holds what its rate allows in so many seconds: whoever was quiet may send at once what gathered on a flight.
    package static let burstSeconds = 60
    /// Handshakes are held to their rate second by second: their cost is what the limit is about.
    package static let handshakeBurstSeconds = 1
    /// Whoever is refused waits at least this long: long enough for the sends behind the refused one to arrive and be refused too, and so that a
    /// waiting client asks once a second, not with each token.
    package static let rateLimitedRetry = Duration.seconds(1)
    /// The longest wait that a refused handshake is told; beyond, many get the same, and some are refused again.
    package static let handshakeRetryCeiling = Duration.seconds(30)
    /// How long after the wait the relay holds a connection to its order: for so long the first refused send must come before later ones.
    package static let rateOrderHeld = Duration.seconds(10)
    /// Users, and addresses, whose buckets are kept; each takes about 200 bytes. Those that are full are forgotten first, then any: an
    /// attacker with more addresses than this is not held by counting addresses.
    package static let meters = 65_536

    // MARK: Alerts

    /// Alerts that are kept, those that are over included: more than anybody reads, 100 KB.
    package static let alertsKept = 1000
    /// How long one that is over is kept: a quarter, as long as somebody asks what happened.
    package static let alertLifetime = Duration.seconds(90 * 24 * 3600)
    /// Subjects of one kind that have alerts of their own at the same time; what is about more of them becomes one alert about nobody, so that many
    /// who misbehave do not hide everything else.
    package static let alertSubjects = 50
    /// Subjects of which events are counted that are no alert yet. When they are more, the oldest count is forgotten.
    package static let alertCounts = 10_000
    /// What happened between two looks at it, a second apart; subjects beyond are counted as one without a name.
    package static let alertEvents = 1000
    /// How often what happened is looked at, and how often the figures that are watched are.
    package static let alertPause = Duration.seconds(1)
    package static let alertReadings = Duration.seconds(10)
    /// How often an alert that goes on is written down again with its count. Its beginning and its end are at once.
    package static let alertRecording = Duration.seconds(60)
    /// Notices that wait to be handed over; the oldest go first.
    package static let alertNotices = 64
    /// A kind is handed over at most this often; what comes meanwhile waits, and only the newest of it goes.
    package static let alertNoticePause = Duration.seconds(60)
    /// Attempts to hand one over, the second after this wait, each later one after four times as long: ten minutes in all.
    package static let alertAttempts = 5
    package static let alertRetry = Duration.seconds(2)
    /// How long the operator's command, or their server, may take over a notice.
    package static let alertPatience = Duration.seconds(30)
    /// The same when the relay is ending: it must not hang.
    package static let alertLastPatience = Duration.seconds(5)
    /// Days of which it is known how busy they were: two months show a trend.
    package static let loadDaysKept = 60
    /// How often it is written down how busy the current day was: what is lost when the relay dies.
    package static let loadRecording = Duration.seconds(3600)

    // MARK: Metrics

    /// How often figures are taken. Readers see nothing newer, so that nobody can watch single messages arrive by asking often; Prometheus asks as
    /// often by default.
    package static let metricInterval = Duration.seconds(15)
    /// One value a minute for a day: 13 series of 16 bytes, 300 KB.
    package static let metricHistoryInterval = Duration.seconds(60)
    package static let metricHistory = 24 * 60
    /// How often an event loop is asked how late it is.
    package static let loopProbeInterval = Duration.seconds(1)
    /// Counts of messages are shown in steps of so many: sixteen times what one user adds to the figure that is published with noise, and still a rate where
    /// there is something to watch.
    package static let metricMessageStep = 1024
    /// Connections to the listener for metrics at the same time: a Prometheus, its twin, and people.
    package static let metricConnections = 16
    /// Chats that one step of counting what is not delivered looks at, messages of one chat that it counts at most, and steps between two figures: some
    /// milliseconds of a reader each, and a hundred thousand chats in some six minutes.
    package static let undeliveredChats = 200
    package static let undeliveredMessages = 4096
    package static let undeliveredSteps = 20

    // MARK: Privacy audit

    /// Findings of an audit of privacy that are listed; more are counted.
    package static let auditFindings = 500
    /// Texts that an audit searches for, all together: they are kept in memory in several forms.
    package static let auditCanaryBytes = 1024 * 1024

    // MARK: Operators

    /// The head of a reply to chatctl: relayd's has some 200 bytes.
    package static let controlReplyHeadBytes = 16 * 1024
    /// The body of a reply to chatctl: lists come in pages, so this is for what answers instead of relayd.
    package static let controlReplyBytes = 16 * 1024 * 1024
    /// How long chatctl waits for a reply.
    package static let controlPatience = Duration.seconds(30)
    /// For one that looks at every message, or ends when all of somebody's are gone: some minutes for ten million.
    package static let longControlPatience = Duration.seconds(15 * 60)
    /// Somebody waits at a half-typed line.
    package static let completionPatience = Duration.seconds(1)
    /// More than that nobody reads.
    package static let completions = 100

    /// Rows of contacts that one page of everybody's blocks looks at, some milliseconds of a reader: most users block nobody.
    package static let blockScanRows = 10_000
    /// Devices of which one page of those that are low on prekeys looks at, a few milliseconds of a reader: most have enough.
    package static let prekeyScanDevices = 2_000
    /// Messages, or entries of the audit log, that one step of counting what an erasure would take looks at: some milliseconds of a reader.
    package static let erasurePlanRows = 4096
    /// Rows that one step of an erasure looks at or changes: messages are written anew, which costs more than deleting them. While 50,000 were (in 1.9
    /// seconds, debug build, two cores that others used too), p99 of 200 sends a second rose from 18 to 26 ms; steps of 1,000 made it 50.
    package static let erasureStepRows = 200
    /// Bodies of the messages that one step of an erasure writes anew, each with fewer wrapped keys: sends wait for at most a few milliseconds.
    package static let erasureStepBytes = 1024 * 1024
    /// How long a user who is to be erased can be brought back: long enough for a mistake to be noticed.
    package static let erasureGrace = Duration.seconds(7 * 24 * 3600)
    /// A year: whoever waits for longer does not want to erase.
    package static let erasureGraceCeiling = Duration.seconds(365 * 24 * 3600)
    /// Erasures that are begun in one round, and that a list of them has.
    package static let erasuresAtOnce = pageSizeCeiling
    /// How often at least relayd looks whether a grace is over: the clock may have been set, and a disk may have been busy.
    package static let erasureLook = Duration.seconds(60)
    /// How often, and how long apart, it tries to empty the write-ahead log after an erasure: a reader that has a page open holds it up.
    package static let logEmptyings = 50
    package static let logEmptyingPause = Duration.milliseconds(100)
    /// Chats in which one page of an export looks for messages.
    package static let exportPageChats = 64
    /// Devices whose keys one request checks, at some 100 microseconds each: a few milliseconds of a thread that others need, too.
    package static let keyChecksAtOnce = 64

    // MARK: Checks and live views

    /// How long a look through the store may take unless an operator says otherwise, and at most: so long the write-ahead log is not emptied.
    package static let storeCheckSeconds = 20
    package static let storeCheckSecondsCeiling = 600
    /// What is wrong with a store is not told in full: the first few show what sort of damage it is.
    package static let storeCheckProblems = 20
    /// Stamps up to this far ahead of the clock say nothing about it: a run begins at the end of the second that the one before stored, so that
    /// a relay that starts several times within a second gets ahead by as many.
    package static let stampLeadSeconds = 10.0
    /// A store that has not answered a probe after so long is one that does not serve.
    package static let healthPatience = Duration.seconds(2)
    /// Flushes of the data disk that a check measures, of one page each, and for how long at most: a rotating disk makes some 100 in a second.
    package static let flushProbes = 200
    package static let flushProbeTime = Duration.seconds(2)
    /// Looks that a live view keeps, for its trends and for rates over a stretch in which the steps of the counts do not show.
    package static let topLooks = 120

    // MARK: Operators' log

    /// Entries of the operators' log that are kept; an older one goes for each that comes. Some 25 MB, and years of operating by hand.
    package static let auditEntriesKept = 100_000
    /// Refused and failed operations that are written down in a minute, of those who may operate and of all others each: what is beyond is counted in the
    /// next entry. Whoever can open the socket could otherwise fill the log, and with it push out what others did.
    package static let auditFailuresAMinute = 60
    /// Random bytes that hide a subject and a reason in the chain of hashes: beyond what anybody can try.
    package static let auditSaltBytes = 16
    /// Entries that one look at the store checks.
    package static let auditPage = 1000

    // MARK: Backups

    /// Pages that one step of a backup copies: 1 MiB, some milliseconds of a disk.
    package static let backupStepPages = 256
    /// Steps after which what was written is flushed: a flush of more at once would hold up the commits beside it.
    package static let backupFlushSteps = 16
    /// The longest that a backup rests between two steps. Otherwise it rests as long as the step took: the disk is there for the messages, but the
    /// write-ahead log grows until the copy is done.
    package static let backupRest = Duration.milliseconds(50)
    /// What a backup leaves free on its file system: it must not be what stops the relay.
    package static let backupReserveBytes = 64 * 1024 * 1024
    /// The page of text behind the copy. With a count for each table it needs less than half.
    package static let backupManifestBytes = 4096
    /// Files of the folder that are looked at.
    package static let backupFiles = 10_000
    /// What is read of a file at once when it is copied or hashed.
    package static let backupReadBytes = 1024 * 1024
    /// Numbers that a plan to restore lists of each kind; more are counted.
    package static let restoreListed = 100
    /// For the migration of a store there must be this many times its size: a table may be written anew, and all of it stands in the log until the end.
    package static let upgradeSpaceFactor = 3

    // MARK: Client

    /// Sends of a client that wait for their answer: fills several of the relay's batches, and its sealed bytes fit in memory (64 × 64 KiB).
    package static let clientSendsInFlight = 64
    /// Messages that wait in a client's outbox on disk.
    package static let clientOutbox = 100_000
    /// Envelopes that a client keeps while it looks up their sender: what the relay pushes without an acknowledgement, twice.
    package static let clientEnvelopesWaiting = 512
    /// One message of the relay's stream: a page of envelopes, the last of which may be as large as a body may be.
    package static let clientFrameBytes = drainPageBytes + bodyBytesCeiling + 64 * 1024
    /// The latest moment at which a message can have been written: the end of the year 9999, beyond which a time has no RFC 3339 form. The earliest
    /// one is 0, the beginning of 1970.
    package static let writtenAtMilliseconds: Int64 = 253_402_300_799_999
    /// Characters of a group's title: it must fit a line.
    package static let groupTitleCharacters = 128
    /// Newcomers of a group that a client asks the relay about one by one; for more it fetches the whole group.
    package static let clientLookups = 8
    /// Groups whose receipts a client fetches after it connected, those with the newest messages first.
    package static let clientReceiptFetches = 50
    /// Decisions about contacts that wait on a device: one about each contact that a user may have. More is a program gone wrong.
    package static let clientContactDecisions = contacts
    /// Pages of a list of contacts that a client takes: contacts, requests and ended ones, with room for what changes meanwhile.
    package static let clientContactPages = 4 * (contacts + contactRequests + endedContacts) / contactsPage
    /// Answers about a chat, one after the other, that change nothing while its messages are refused or cannot be sealed. Before the next question
    /// the client waits, as it does before it connects again. One or two are ordinary: what the relay pushes is often here before the answer.
    package static let clientFruitlessAnswers = 3
    /// The first wait before a client connects again is random and at most this long; it doubles up to the ceiling.
    package static let reconnectBase = Duration.milliseconds(200)
    package static let reconnectCeiling = Duration.seconds(30)
    /// After close code 1012 (restarting) clients come back within this span, not all at once.
    package static let restartSpread = Duration.seconds(3)
    /// A token is replaced this long before it expires.
    package static let tokenMargin = Duration.seconds(60)
    /// What of a link's part is filled before the next one begins: the largest chat or person on top still fits ``linkPartBytes``.
    package static let clientLinkPartBytes = 32 * 1024
    /// Keys in one part of a link: 56 bytes each at most, with their places and chats.
    package static let clientLinkPartKeys = 700
    /// Devices that a person has no more, of which a new device is told: they check what was sent before.
    package static let clientFormerDevicesGiven = 50
    /// A step of a link is asked again so often, for some half a minute: a relay that restarts is back by then.
    package static let clientLinkRetries = 8
    /// How long a device that links another one may receive before it gives.
    package static let clientLinkCatchUp = Duration.seconds(300)
    /// A relay that was silent for longer than it would be (it pings) is taken for dead.
    package static let relaySilence = Duration.seconds(150)
}
