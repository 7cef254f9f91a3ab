//! Every sentence that people read on our pages, in both languages, side by side.
//!
//! A [`Texts`] has one field for each sentence, so neither language can lack one. Blanks are written
//! `{name}` and filled by [`fill`]; a test holds that both languages have the same blanks.

/// Makes [`Texts`], its two tables and the list that tests walk, out of `key: "English" | "中文"`.
macro_rules! texts {
    ($($key:ident: $english:literal | $chinese:literal,)*) => {
        /// The sentences of one language; each field is named after what it is for.
        #[derive(Debug)]
        pub(super) struct Texts {
            $(pub(super) $key: &'static str,)*
        }

        /// English.
        pub(super) static ENGLISH: Texts = Texts { $($key: $english,)* };
        /// Chinese in simplified characters.
        pub(super) static CHINESE: Texts = Texts { $($key: $chinese,)* };

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($key), $english, $chinese),)*];
    };
}

texts! {
    // Around every page.
    skip_to_content: "Skip to content" | "跳到正文",
    language: "Language" | "语言",
    sign_out: "Sign out" | "退出登录",
    signed_in_as: "Signed in as {name}" | "当前用户：{name}",
    home: "Home" | "首页",
    back_home: "Back to your workspaces" | "返回我的工作空间",
    try_again: "Try again" | "重试",
    request_id: "Request" | "请求编号",
    time_other_day: "{time} on {date}" | "{date} {time}",

    // Sign-in.
    login_title: "Sign in" | "登录",
    login_lead: "Use your company account." | "请使用公司账号登录。",
    login_tagline: "Your workspace is right behind this door." | "推开这扇门，就是你的工作空间。",
    login_tagline_more: "It opens when you come and closes when you have gone." | "你来，它就启动；你走，它便休息。",
    login_user: "User name" | "用户名",
    login_password: "Password" | "密码",
    login_submit: "Sign in" | "登录",
    login_submitting: "Signing in…" | "正在登录…",
    login_show: "Show password" | "显示密码",
    login_hide: "Hide password" | "隐藏密码",
    login_wrong: "That user name and password do not match. Please check both and try again." | "用户名或密码不正确，请检查后重试。",
    login_disabled: "This account has been disabled. Please ask your administrator." | "该账号已停用，请联系管理员。",
    login_locked: "This account is locked, mostly because of too many wrong passwords. Please try again later, or ask your administrator." | "该账号已被锁定，通常是因为多次输错密码。请稍后再试，或联系管理员。",
    login_account_expired: "This account has expired. Please ask your administrator." | "该账号已过期，请联系管理员。",
    login_password_expired: "Your password has expired. Please set a new one where you manage your company account, then sign in here." | "你的密码已过期。请先在公司账号系统中设置新密码，再到这里登录。",
    login_password_must_change: "Your password has to be changed before you can sign in here. Please set a new one where you manage your company account." | "你需要先修改密码才能登录。请先在公司账号系统中设置新密码，再到这里登录。",
    login_no_tenant: "Your account is in order, but it cannot be matched to a company here. Please ask your administrator." | "你的账号没有问题，但无法确定你属于哪家公司。请联系管理员。",
    login_two_tenants: "Your account is in order, but it is matched to more than one company here, and we do not guess. Please ask your administrator." | "你的账号没有问题，但它同时对应多家公司，系统无法判断你属于哪一家。请联系管理员。",
    login_tenant_refused: "Your account is in order, but your company may not use this at present. Please ask your administrator." | "你的账号没有问题，但你所在的公司目前未开通使用权限。请联系管理员。",
    login_busy: "Too many people are signing in at this moment. Please try again in a few seconds." | "当前登录人数较多，请几秒后再试。",
    login_throttled: "Too many failed attempts. Please wait {span} before you try again." | "失败次数过多，请等待 {span}后再试。",
    login_unreachable: "The company directory does not answer at present. Your password was not checked; please try again in a minute." | "公司目录服务暂时无法访问，密码尚未校验。请稍后再试。",
    login_misconfigured: "Signing in does not work because of a fault in our setup. Please tell your administrator." | "登录服务配置有误，暂时无法登录，请联系管理员。",
    login_expired: "This page had been open for too long. Please sign in once more." | "页面停留时间过长，请重新登录。",
    login_refused_title: "Signing in did not work" | "登录未成功",
    login_no_access: "You have no access here yet" | "你还没有访问权限",
    login_other_account: "Sign in with another account" | "换一个账号登录",
    login_account: "Account" | "账号",
    login_signed_out: "You are signed out." | "你已退出登录。",
    login_signed_out_everywhere: "You are signed out everywhere." | "你已在所有设备上退出登录。",
    login_session_over: "Your session has ended. Please sign in again." | "登录已过期，请重新登录。",

    // Proving again who one is.
    prove_title: "Is it still you?" | "请再次验证身份",
    prove_lead: "What you are about to do concerns other people. Please enter your password once more." | "接下来的操作会影响其他人，请再次输入密码。",
    prove_submit: "Go on" | "继续",
    prove_other: "That is another account. Please enter the password of the account that is signed in, or sign out first." | "这是另一个账号。请输入当前登录账号的密码，或先退出登录。",
    prove_back: "Go back without doing it" | "放弃并返回",

    // Home.
    home_title: "Your workspaces" | "我的工作空间",
    home_lead: "They start when you open them, and stop by themselves when nobody works in them." | "打开即自动启动，无人使用时自动停止。",
    home_empty: "There is no workspace here for you yet." | "这里还没有可供你使用的工作空间。",
    home_empty_more: "Your administrator decides who gets one." | "如需开通，请联系管理员。",
    everywhere_title: "Signed in somewhere else?" | "还在别处登录过？",
    everywhere_more: "Sign out of every browser at once, this one included. What is open there closes within seconds; your workspaces keep running." | "一次退出所有浏览器，包括当前浏览器。其他地方打开的页面会在几秒内断开，你的工作空间会继续运行。",
    everywhere_submit: "Sign out everywhere" | "全部退出",
    home_links: "Shared services" | "公共服务",
    live_lost: "The connection was lost. What you see may be out of date; trying again…" | "连接已断开，页面内容可能不是最新状态，正在重新连接…",
    action_failed: "That did not work. Please try again." | "操作未成功，请重试。",

    phase_stopped: "Stopped" | "已停止",
    phase_starting: "Starting" | "启动中",
    phase_running: "Running" | "运行中",
    phase_idle: "Idle" | "空闲",
    phase_stopping: "Stopping" | "停止中",
    phase_failed: "Failed" | "出错",

    open: "Open" | "打开",
    watch_start: "Watch it start" | "查看启动进度",
    start: "Start" | "启动",
    start_only: "Start" | "后台启动",
    stop: "Stop" | "停止",
    stop_warning: "Whatever is not saved is lost, and programs that run in it end." | "未保存的内容将会丢失，正在运行的程序也会终止。",
    stop_now: "Stop now" | "立即停止",
    hold: "Keep it running" | "保持运行",
    hold_for: "For how long" | "保持时长",
    hold_end: "Let it stop again" | "取消保持运行",
    choose_size: "Size for the next start" | "下次启动的规格",

    fact_since: "Up since" | "启动时间",
    fact_activity: "Last activity" | "最近活动",
    fact_stops: "Stops" | "自动停止",
    fact_size: "Size" | "规格",
    fact_kept: "Not stopped" | "未停止原因",
    kept_hold: "you asked to keep it running" | "已设置保持运行",
    kept_connection: "a tab or program is still connected to it" | "仍有标签页或程序保持连接",
    kept_unknown: "it is not known whether somebody works in it" | "暂时无法判断是否有人使用",
    kept_brake: "too many were about to stop at once, which looks like a fault" | "短时间内待停止的数量过多，为防误停暂缓执行",
    activity: "{ago} ({source})" | "{ago}（{source}）",
    activity_unknown: "not known yet" | "暂无记录",
    activity_websocket: "work in the browser" | "浏览器内操作",
    activity_http: "a page was opened" | "页面访问",
    activity_connection: "an open tab" | "标签页保持打开",
    activity_start: "the start" | "启动",
    activity_restart: "the gateway came back" | "网关重启",
    stops_idle: "at {time}, unless somebody works in it" | "若无人使用，将于 {time} 停止",
    stops_lifetime: "at {time}, because one run may last {span}" | "单次最长运行 {span}，将于 {time} 停止",
    stops_other: "at {time}" | "{time}",
    stops_never: "not by itself" | "不会自动停止",
    stops_held: "kept running until {time}" | "保持运行至 {time}",
    warning_idle: "Nobody has worked in it for a while, so it stops at {time}. Work in it, or keep it running, and it stays." | "已有一段时间无人使用，将于 {time} 停止。继续使用或选择“保持运行”即可取消。",
    warning_lifetime: "One run may last {span}; it stops at {time}. Please save your work." | "单次最长运行 {span}，将于 {time} 停止，请及时保存。",
    warning_other: "It stops at {time}. Please save your work." | "将于 {time} 停止，请及时保存。",
    never_started: "It has not been started yet." | "尚未启动过。",
    starting_since: "On its way since {time}." | "{time} 开始启动。",
    stopping_since: "Being stopped since {time}." | "{time} 开始停止。",

    // Why it was stopped.
    stopped_plain: "It was stopped at {time}." | "已于 {time} 停止。",
    stopped_user: "You stopped it at {time}." | "你已于 {time} 将其停止。",
    stopped_administrator: "{by}, an administrator, stopped it at {time}." | "管理员 {by} 已于 {time} 将其停止。",
    stopped_idle: "It was stopped at {time} because nobody had worked in it for {span}." | "因连续 {span}无人使用，已于 {time} 自动停止。",
    stopped_lifetime: "It was stopped at {time} because one run may last {span} at most." | "因达到单次最长运行时间 {span}，已于 {time} 自动停止。",
    stopped_shutdown: "It was stopped at {time} because the gateway was shut down." | "因网关停机，已于 {time} 停止。",
    stopped_withdrawn: "It was stopped at {time} because it was taken out of service." | "因配置变更不再提供，已于 {time} 停止。",
    stopped_exited: "It ended by itself at {time}." | "已于 {time} 自行退出。",
    stopped_crashed: "It broke off at {time}." | "已于 {time} 异常退出。",
    stopped_leftover: "It was stopped at {time}, after the gateway had come to a sudden end." | "因网关异常中断，已于 {time} 清理并停止。",

    // The start page.
    start_title: "Starting {title}" | "正在启动 {title}",
    start_lead: "You are taken there as soon as it is ready." | "就绪后将自动进入，请稍候。",
    start_expected: "This usually takes about {span}." | "通常需要约 {span}。",
    start_longer: "This takes longer than usual. You may leave this page open." | "耗时比平时更长，可以保持本页打开继续等待。",
    start_no_script: "This page looks again every few seconds." | "本页每隔几秒自动刷新。",
    start_ready: "Ready. Taking you there…" | "已就绪，正在进入…",
    start_go: "Go there now" | "立即进入",
    start_progress: "Progress of the start" | "启动进度",
    start_last_time: "Why it was stopped" | "上次停止原因",
    start_stopped_title: "{title} is stopped" | "{title} 已停止",
    start_stopping_title: "{title} is being stopped" | "{title} 正在停止",
    start_stopping: "It has to come to rest before it can start again." | "需等待其完全停止后才能重新启动。",
    step_queued: "Wait for its turn" | "排队等待",
    step_requested: "Create the workspace" | "创建工作空间",
    step_created: "Start its program" | "启动程序",
    step_waiting: "Wait for it to answer" | "等待服务响应",
    step_ready: "Ready" | "就绪",
    step_done: "done" | "已完成",
    step_now: "in progress" | "进行中",
    step_later: "to come" | "未开始",
    refused_title: "{title} cannot start now" | "{title} 暂时无法启动",

    failed_start_title: "{title} could not be started" | "{title} 启动失败",
    failed_run_title: "{title} has ended unexpectedly" | "{title} 意外退出",
    failed_what_to_do: "What you can do" | "你可以这样做",
    failed_tell: "What to tell your administrator" | "请将以下信息提供给管理员",
    failed_contact: "Contact" | "联系方式",
    failed_class: "Kind of fault" | "错误类型",
    failed_detail: "Detail" | "详细信息",
    failed_time: "Time" | "时间",
    failed_workspace: "Workspace" | "工作空间",
    failed_log: "The last lines that it wrote" | "最近的日志输出",

    cause_not_runnable: "Its program cannot be run on the server." | "服务器无法运行该工作空间的程序。",
    advice_not_runnable: "Trying again will not help until your administrator has repaired it. Please pass on the details." | "在管理员修复之前，重试不会有效。请将详细信息提供给管理员。",
    cause_crashed_at_start: "It ended with an error while it was starting." | "启动过程中程序报错退出。",
    advice_crashed_at_start: "Try again once. If it ends the same way, the last lines of its log often name the cause." | "可以先重试一次。如果仍然失败，日志的最后几行通常会说明原因。",
    cause_crashed: "It ended with an error while it was running." | "运行过程中程序报错退出。",
    advice_crashed: "Start it again. Files that were saved are still there." | "请重新启动，已保存的文件不受影响。",
    cause_not_ready: "It was started, but did not answer in time." | "程序已启动，但未在规定时间内响应。",
    advice_not_ready: "The machine may be busy. Wait a minute, then try again." | "服务器可能较忙，请稍等片刻再重试。",
    cause_quota: "As many workspaces as are allowed are already running." | "正在运行的工作空间数量已达上限。",
    advice_quota: "Stop one that you do not need, then try again; or ask your administrator for more." | "请先停止不需要的工作空间再重试，或联系管理员提高上限。",
    cause_no_capacity: "There is no room for it at present." | "当前资源不足，无法启动。",
    advice_no_capacity: "Room is often free again after a few minutes. Please try again then." | "通常几分钟后即可恢复，请稍后重试。",
    cause_runtime: "The system that runs workspaces reported a fault." | "运行工作空间的系统出现故障。",
    advice_runtime: "Try again in a minute. If it goes on, please pass on the details." | "请稍后重试。如果问题持续存在，请将详细信息提供给管理员。",

    // Problems, one for each kind: what happened, and what to do.
    problem_bad_request: "This request cannot be understood" | "无法识别该请求",
    problem_bad_request_more: "The address or something sent with it is not valid. Go back and try another way." | "地址或提交的内容无效，请返回后换一种方式重试。",
    problem_method_not_allowed: "This cannot be done here" | "此处不支持该操作",
    problem_method_not_allowed_more: "The address exists, but not for this kind of request." | "该地址存在，但不支持这种请求方式。",
    problem_too_large: "This request is too large" | "请求内容过大",
    problem_too_large_more: "The address or what your browser sends with it is longer than allowed. Removing this site's cookies often helps." | "地址或浏览器附带的数据超出限制，清除本站 Cookie 后通常可以恢复。",
    problem_expectation_failed: "This request asks for something unusual" | "请求包含不支持的要求",
    problem_expectation_failed_more: "A program between you and us, or your own, expects what we do not offer." | "你的程序或中间代理提出了本服务不支持的要求。",
    problem_misdirected: "This is not the right address" | "访问地址不正确",
    problem_misdirected_more: "The name in the address bar is not one of ours. Open the address that your company gave you." | "地址栏中的域名不属于本服务，请使用公司提供的地址访问。",
    problem_not_found: "There is nothing at this address" | "页面不存在",
    problem_not_found_more: "It may have been mistyped, or no longer exist." | "地址可能输入有误，或内容已被移除。",
    problem_sign_in_needed: "Please sign in" | "请先登录",
    problem_sign_in_needed_more: "You have to be signed in to see this." | "登录后才能访问此内容。",
    problem_forbidden: "This is not open to you" | "没有访问权限",
    problem_proof_needed: "Please prove again that it is you" | "请再次验证身份",
    problem_proof_needed_more: "This concerns other people, and you signed in a while ago. Do it on the page for administrators, which asks for your password." | "该操作会影响其他人，而你的登录时间较早。请在管理员页面上操作，届时需要再次输入密码。",
    problem_forbidden_more: "You are signed in, but your account may not use this. Your administrator can change that." | "你已登录，但当前账号无权使用此功能。如需开通，请联系管理员。",
    problem_foreign_origin: "This came from another site" | "请求来自其他网站",
    problem_foreign_origin_more: "For your safety it was not carried out. Start again from your own workspaces." | "出于安全考虑，操作未执行。请从我的工作空间重新开始。",
    problem_not_yours: "This workspace belongs to somebody else" | "这是他人的工作空间",
    problem_not_yours_more: "Everybody can only open their own. Yours are on the home page." | "每个人只能打开自己的工作空间，请在首页查看你的工作空间。",
    problem_tenant_refused: "Your company has no access at present" | "你所在的公司目前没有访问权限",
    problem_tenant_refused_more: "Please ask your administrator." | "请联系管理员。",
    problem_not_running: "The workspace is not running" | "工作空间未在运行",
    problem_not_running_more: "It may still be on its way. Try again in a moment, or start it from the home page." | "可能仍在启动中，请稍后重试，或在首页启动。",
    problem_start_failed: "The workspace could not be started" | "工作空间启动失败",
    problem_start_failed_more: "Its card on the home page says why." | "可在首页的卡片中查看原因。",
    problem_quota: "As many workspaces as allowed are running" | "运行中的工作空间已达上限",
    problem_quota_more: "Stop one that you do not need, then try again." | "请先停止不需要的工作空间，再重试。",
    problem_too_many: "Too many requests" | "请求过于频繁",
    problem_too_many_more: "Please wait a little, then try again." | "请稍等片刻再试。",
    problem_upstream_unreachable: "It cannot be reached" | "服务无法连接",
    problem_upstream_unreachable_more: "What should answer at this address does not accept connections. Try again in a moment." | "该地址对应的服务拒绝连接，请稍后重试。",
    problem_upstream_broken: "It answered with something unreadable" | "服务响应异常",
    problem_upstream_broken_more: "What answers at this address sent something that is not valid. If it goes on, tell your administrator." | "该地址对应的服务返回了无效内容。如果问题持续存在，请联系管理员。",
    problem_upstream_timeout: "It took too long to answer" | "服务响应超时",
    problem_upstream_timeout_more: "Try again in a moment. A program in your workspace may be busy." | "请稍后重试，工作空间中的程序可能正忙。",
    problem_body_broken: "Sending was interrupted" | "上传中断",
    problem_body_broken_more: "What your browser was sending did not arrive whole. Please try again." | "数据未能完整送达，请重试。",
    problem_unavailable: "Just a moment" | "请稍候",
    problem_unavailable_more: "The gateway is busy or being restarted. Please try again in a few seconds." | "网关繁忙或正在重启，请几秒后重试。",
    problem_internal: "Something went wrong on our side" | "服务内部错误",
    problem_internal_more: "It is not your fault. If it happens again, give your administrator the request number below." | "这不是你的问题。如果再次出现，请将下方的请求编号提供给管理员。",
    problem_form_token: "This page had been open for too long" | "页面已过期",
    problem_form_token_more: "Nothing was changed. Go back, reload the page and try again." | "操作未执行，请返回并刷新页面后重试。",
    problem_not_a_page: "This can only be opened as a page of its own" | "该页面只能单独打开",
    problem_not_a_page_more: "Open it in a tab, not from within another page." | "请在浏览器标签页中直接打开，不支持嵌入其他页面。",
    problem_retry_after: "Try again in {span}." | "请在 {span}后重试。",

    // The tenant's page.
    tenant_title: "Workspaces of {tenant}" | "工作空间 · {tenant}",
    tenant_nav: "Company" | "公司",
    tenant_empty: "No workspace is known at present." | "目前没有工作空间记录。",
    tenant_user: "User" | "用户",
    tenant_workspace: "Workspace" | "工作空间",
    tenant_phase: "State" | "状态",
    tenant_since: "Since" | "起始时间",
    tenant_activity: "Last activity" | "最近活动",
    tenant_action: "Action" | "操作",
    tenant_stop_of: "Stop the workspace of {user}" | "停止 {user} 的工作空间",
    tenant_counts: "{running} running of {all}" | "共 {all} 个，运行中 {running} 个",

    // Spans and distances in time.
    seconds_one: "1 second" | "1 秒",
    seconds: "{n} seconds" | "{n} 秒",
    minutes_one: "1 minute" | "1 分钟",
    minutes: "{n} minutes" | "{n} 分钟",
    hours_one: "1 hour" | "1 小时",
    hours: "{n} hours" | "{n} 小时",
    days_one: "1 day" | "1 天",
    days: "{n} days" | "{n} 天",
    ago: "{span} ago" | "{span}前",
    just_now: "just now" | "刚刚",
}

/// `text` with each `{name}` replaced by its value. Values are taken as they are and never searched for blanks.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        let value = values.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value);
        out.push_str(value);
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn blanks(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
    }

    #[test]
    fn both_languages_have_every_sentence_with_the_same_blanks() {
        for (key, english, chinese) in ALL {
            assert!(!english.trim().is_empty(), "{key} is empty in English");
            assert!(!chinese.trim().is_empty(), "{key} is empty in Chinese");
            assert_eq!(blanks(english), blanks(chinese), "{key} has different blanks");
        }
    }

    #[test]
    fn chinese_sentences_are_chinese_and_end_with_chinese_stops() {
        for (key, _, chinese) in ALL {
            let has_words = chinese.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
            assert!(has_words || !blanks(chinese).is_empty(), "{key} is not in Chinese: {chinese}");
            assert!(!chinese.ends_with(['.', ',', '!', '?']), "{key} ends like an English sentence: {chinese}");
        }
    }

    #[test]
    fn values_are_not_searched_for_blanks() {
        assert_eq!(fill("{a} and {b}", &[("a", "{b}"), ("b", "x")]), "{b} and x");
        assert_eq!(fill("open { brace", &[]), "open { brace");
    }
}
