import NIOCore
import RelayModel

/// TLS between a socket and everything else of a channel's pipeline; the first handler of it. Confined to its event loop.
///
/// What is written waits for the flush, and is encrypted and handed on as one buffer then: a burst stays one write. What is written before the
/// handshake is done waits for it. A client's failure is fired as an error (``TLSFailure``); a server just ends the connection.
package final class TLSHandler: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    package let connection: TLSConnection
    private let timeout: TimeAmount
    /// Nil at a client's end.
    private let server: TLSServer?

    /// What was written and not flushed. The first one has its own place: mostly there is one.
    private var first: (bytes: ByteBuffer, promise: EventLoopPromise<Void>?)?
    private var more: [(bytes: ByteBuffer, promise: EventLoopPromise<Void>?)] = []
    private var flushWanted = false
    private var timer: Scheduled<Void>?
    private var started = false
    /// It failed, or is being closed: what comes is dropped.
    private var done = false
    /// Something was handed on since the last read-complete.
    private var delivered = false
    /// How many answers of TLS's own wait for the other side to read.
    private var unread: UInt8 = 0
    /// Why it ended.
    package private(set) var failure: TLSFailure?

    init(_ connection: TLSConnection, timeout: Duration, server: TLSServer?) {
        self.connection = connection
        self.timeout = TimeAmount(timeout)
        self.server = server
    }

    // MARK: Life

    package func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { start(context) }
    }

    package func channelActive(context: ChannelHandlerContext) {
        start(context)
        context.fireChannelActive()
    }

    private func start(_ context: ChannelHandlerContext) {
        guard !started else { return }
        started = true
        // Cancelled with the handler's end: a weak reference would keep a record of its own for as long as the connection lives.
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) { self.fail(.handshakeTimeout, context) }
        guard connection.isClient else { return }
        connection.begin()
        if let output = connection.takeOutput() { context.writeAndFlush(wrapOutboundOut(output), promise: nil) }
        if let failure = connection.failure { fail(failure, context) }
    }

    package func handlerRemoved(context: ChannelHandlerContext) { finish() }

    package func channelInactive(context: ChannelHandlerContext) {
        let wasDone = done
        finish()
        if connection.isClient, !wasDone, !connection.isEnded {
            let failure: TLSFailure = connection.isEstablished ? .cutOff : .closedInHandshake
            self.failure = failure
            context.fireErrorCaught(failure)
        }
        context.fireChannelInactive()
    }

    private func finish() {
        done = true
        timer?.cancel()
        timer = nil
        failPending()
    }

    private func failPending() {
        let waiting = takePending()
        for (_, promise) in waiting { promise?.fail(ChannelError.ioOnClosedChannel) }
    }

    // MARK: In

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !done else { return }
        let wasEstablished = connection.isEstablished
        let plain = connection.receive(unwrapInboundIn(data), allocator: context.channel.allocator)
        var promise: EventLoopPromise<Void>?
        if !wasEstablished, connection.isEstablished {
            timer?.cancel()
            timer = nil
            if flushWanted { promise = encryptPending(context) }
        }
        if let output = connection.takeOutput() {
            context.writeAndFlush(wrapOutboundOut(output), promise: promise)
            if wasEstablished, connection.failure == nil, !context.channel.isWritable {
                unread += 1
                if unread >= Limits.tlsAnswersUnread { return fail(.readsNoAnswers, context) }
            }
        } else {
            promise?.succeed()
        }
        if let plain {
            delivered = true
            context.fireChannelRead(wrapInboundOut(plain))
        }
        guard !done else { return }
        if let failure = connection.failure {
            fail(failure, context)
        } else if connection.isEnded {
            inputEnded(context)
        }
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { unread = 0 }
        context.fireChannelWritabilityChanged()
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        let silent = !delivered && !done
        delivered = false
        context.fireChannelReadComplete()
        // Whoever asked for bytes got none of these: the wish stands.
        if silent { context.read() }
    }

    /// The other side's last word. As with a socket's end, what is under way in this direction may go on when the channel allows it.
    private func inputEnded(_ context: ChannelHandlerContext) {
        if (try? context.channel.syncOptions?.getOption(.allowRemoteHalfClosure)) == true {
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        } else {
            close(context: context, mode: .all, promise: nil)
        }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard (event as? ChannelEvent) == .inputClosed else { return context.fireUserInboundEventTriggered(event) }
        // Said already by TLS, which is what counts; without that, the rest is missing.
        if !connection.isEnded || done { context.close(promise: nil) }
    }

    // MARK: Out

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !done else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        let entry = (bytes: unwrapOutboundIn(data), promise: promise)
        if first == nil { first = entry } else { more.append(entry) }
    }

    package func flush(context: ChannelHandlerContext) {
        guard connection.isEstablished else {
            flushWanted = true
            return
        }
        guard first != nil else { return context.flush() }
        let promise = encryptPending(context)
        if let output = connection.takeOutput() {
            context.writeAndFlush(wrapOutboundOut(output), promise: promise)
        } else {
            promise?.succeed()
        }
        if let failure = connection.failure { fail(failure, context) }
    }

    /// Everything that waits, into the connection's output. Gives the promise of all of it.
    private func encryptPending(_ context: ChannelHandlerContext) -> EventLoopPromise<Void>? {
        flushWanted = false
        guard let entry = first else { return nil }
        first = nil
        if more.isEmpty {
            _ = connection.send(entry.bytes)
            return entry.promise
        }
        let rest = more
        more = []
        // Several small ones, such as the head and the body of a reply, become one record.
        var bytes = entry.bytes
        for next in rest {
            if bytes.readableBytes + next.bytes.readableBytes > Limits.tlsRecordBytes {
                _ = connection.send(bytes)
                bytes = next.bytes
            } else {
                bytes.writeImmutableBuffer(next.bytes)
            }
        }
        _ = connection.send(bytes)
        let promises = ([entry] + rest).compactMap(\.promise)
        guard !promises.isEmpty else { return nil }
        let all = context.eventLoop.makePromise(of: Void.self)
        for promise in promises { all.futureResult.cascade(to: promise) }
        return all
    }

    private func takePending() -> [(bytes: ByteBuffer, promise: EventLoopPromise<Void>?)] {
        defer {
            first = nil
            more = []
        }
        return (first.map { [$0] } ?? []) + more
    }

    package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode != .input else { return context.close(mode: mode, promise: promise) }
        if connection.isEstablished, !done {
            connection.end()
            if let output = connection.takeOutput() { context.writeAndFlush(wrapOutboundOut(output), promise: nil) }
            // Only our direction: what still comes is read, so that the other side's end is seen.
            if mode == .output { return context.close(mode: .output, promise: promise) }
        }
        finish()
        context.close(mode: .all, promise: promise)
    }

    // MARK: The end

    private func fail(_ failure: TLSFailure, _ context: ChannelHandlerContext) {
        guard !done else { return }
        finish()
        self.failure = failure
        var last = connection.takeOutput()
        if failure == .plainHTTP, let answer = server?.plainAnswer { last = answer }
        if let last { context.writeAndFlush(wrapOutboundOut(last), promise: nil) }
        if connection.isClient { context.fireErrorCaught(failure) }
        guard last != nil, !connection.isClient else { return context.close(promise: nil) }
        // Closed at once, a socket with something unread in it discards what it was given to send.
        context.close(mode: .output, promise: nil)
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(Limits.tlsAlertPatience)) { context.close(promise: nil) }
    }
}
