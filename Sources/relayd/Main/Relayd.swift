import ArgumentParser
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import TOMLKit
@main struct Relayd { static func main() { print("x") } }
