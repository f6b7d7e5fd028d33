//! One test a scenario file. The list is written by hand and compared with the folder.

use super::steps;

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                steps::play(concat!(stringify!($name), ".scenario"));
            }
        )*

        const LISTED: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    a_cached_alias_is_used_for_another_type
    a_cached_dname_serves_other_names_below_it
    a_chain_of_aliases_in_one_answer
    a_client_that_is_gone_gets_nothing
    a_dead_forwarder_falls_back_to_iteration_where_allowed
    a_dead_forwarder_is_servfail_where_no_fallback_is_allowed
    a_dname_into_its_own_subtree_ends
    a_dname_is_followed
    a_dname_that_makes_the_name_too_long_is_yxdomain
    a_dname_without_its_cname_is_followed_all_the_same
    a_failure_is_cached_and_causes_no_packets
    a_failure_that_lasts_is_held_longer_and_longer
    a_far_away_server_is_waited_for
    a_forward_zone_is_asked_of_its_servers_alone
    a_forward_zone_may_have_its_own_port
    a_glueless_delegation_is_resolved
    a_hundred_identical_questions_are_one_resolution
    a_lame_server_that_refers_to_itself_is_passed_over
    a_lame_server_that_refers_upward_is_passed_over
    a_lame_server_that_refuses_is_passed_over
    a_lame_server_that_says_formerr_is_passed_over
    a_lame_server_that_says_notimp_is_passed_over
    a_lame_server_that_says_servfail_is_passed_over
    a_long_ip6_arpa_name_takes_few_steps
    a_lossy_network_still_answers
    a_name_of_forty_labels_takes_few_steps
    a_name_with_dots_and_odd_octets_in_its_labels
    a_near_miss_of_the_id_sends_the_question_over_tcp
    a_negative_answer_lives_no_longer_than_the_ceiling
    a_popular_answer_is_refreshed_ahead_of_its_end
    a_query_sent_back_as_a_query_is_no_response
    a_question_for_the_servers_of_a_zone_gets_the_childs_answer
    a_record_without_data_is_dropped_and_the_others_kept
    a_referral_is_followed_to_the_answer
    a_referral_out_of_the_zone_is_not_followed
    a_referral_with_aa_is_followed
    a_refresh_that_fails_does_not_hurt_the_answer_in_the_cache
    a_response_to_another_question_is_not_taken
    a_response_with_a_foreign_cookie_is_not_taken
    a_response_without_a_question_is_asked_for_again
    a_second_forwarder_answers_where_the_first_is_dead
    a_second_question_is_answered_from_the_cache
    a_server_name_that_is_an_alias_is_not_followed
    a_server_that_answers_formerr_to_edns_is_asked_without
    a_server_that_answers_notimp_to_edns_is_asked_without
    a_server_that_changes_the_case_is_asked_by_tcp
    a_server_that_demands_cookies_gets_them
    a_server_that_ignores_edns_costs_nothing_more
    a_server_that_is_silent_to_edns_is_a_dead_server
    a_server_that_refuses_shortened_names_gets_the_whole_one
    a_server_that_sends_only_junk_is_left_for_the_other
    a_server_without_tcp_that_truncates_does_not_hang_the_question
    a_set_of_two_hundred_records_is_passed_on_whole
    a_set_too_large_to_keep_is_not_cut_in_half
    a_shorter_deadline_is_kept
    a_signed_answer_is_secure
    a_stub_zone_is_asked_of_its_authoritative_servers
    a_target_of_an_alias_in_a_foreign_zone_is_asked_for_there
    a_truncated_packet_is_no_answer
    a_truncated_response_is_asked_for_again_by_tcp
    a_ttl_above_the_ceiling_is_cut
    a_ttl_below_the_floor_is_lifted
    a_ttl_of_zero_is_not_kept
    a_ttl_with_the_top_bit_set_is_zero
    a_wildcard_alias_leads_on
    a_wildcard_answers_for_the_name_asked
    a_wildcard_does_not_answer_for_a_name_that_exists
    a_zone_taken_from_the_parent_is_gone_when_its_delegation_ends
    a_zone_that_delegates_ever_deeper_is_given_up
    a_zone_that_moved_is_found_again_when_its_old_server_is_silent
    a_zone_that_moved_is_found_again_when_its_old_server_refuses
    a_zone_whose_only_server_is_inside_it_without_glue_fails_cheaply
    a_zone_whose_servers_are_all_lame_is_servfail_with_a_reason
    addresses_on_the_forbidden_list_are_never_asked
    after_a_month_of_silence_everything_is_fetched_again
    aliases_in_a_circle_over_two_zones_fail_cheaply
    an_address_that_cannot_be_reached_is_left_for_the_other
    an_alias_asked_for_by_its_own_type_is_not_followed
    an_alias_into_another_zone_is_followed
    an_alias_of_itself_fails_cheaply
    an_alias_on_the_way_to_a_name_is_not_followed
    an_alias_to_a_special_name_does_not_leak
    an_answer_too_big_for_udp_is_truncated_for_the_client
    an_answer_without_aa_from_the_right_server_is_taken
    an_empty_non_terminal_is_nodata
    an_expired_answer_is_fetched_from_the_zone_alone
    an_mx_question_for_an_alias_carries_the_alias
    an_unknown_edns_version_is_badvers
    an_unreachable_root_is_said_within_two_seconds_and_tried_again
    any_gets_a_small_answer
    chaos_names_are_hidden_unless_configured
    chaos_names_tell_what_is_configured
    clients_outside_the_access_list_are_refused
    closed_ports_are_known_at_once
    cname_chain_across_zones_ends_in_nodata
    cname_chain_across_zones_ends_in_nxdomain
    ds_is_asked_at_the_parent
    ds_of_a_top_level_domain_is_asked_at_the_root
    ds_that_is_not_there_is_nodata_of_the_parent
    duplicates_and_reordering_do_no_harm
    each_server_sees_one_label_more_than_its_zone
    extended_errors_can_be_switched_off
    fifteen_dead_addresses_cost_at_most_fifty_packets
    fifteen_hundred_glueless_servers_cost_at_most_fifty_packets
    flags_are_copied_or_cleared
    foreign_records_in_the_additional_section_are_not_kept
    foreign_records_in_the_answer_section_are_not_kept
    formerr_from_a_server_that_understands_edns_is_no_reason_to_drop_it_forever
    formerr_that_is_a_bare_header_is_about_edns
    forwarders_and_hints_are_excepted_from_the_forbidden_list
    glue_does_not_answer_questions
    glue_for_a_foreign_zone_in_a_referral_is_not_used
    glue_that_is_older_than_its_ttl_does_not_strand_the_zone
    glue_that_points_back_at_the_parent_is_seen_through
    glueless_delegations_three_zones_deep_are_resolved
    half_of_the_servers_silent_still_answers_in_time
    identical_questions_with_other_flags_share_the_work_but_not_the_flags
    junk_before_the_answer_does_not_close_the_door
    keepalive_is_told_over_tcp_alone
    malformed_queries_get_formerr
    mapped_addresses_do_not_get_around_the_forbidden_list
    names_differ_in_case_only_to_the_eye
    nodata_is_cached_for_its_type
    nodata_without_soa_is_nodata
    nothing_below_a_missing_top_level_domain_is_asked_twice
    nothing_exists_below_a_name_that_does_not_exist
    nxdomain_for_an_empty_non_terminal_is_believed_when_strict
    nxdomain_for_an_empty_non_terminal_is_forgiven_when_relaxed
    nxdomain_is_cached_for_all_types_and_ends
    nxdomain_with_a_foreign_soa_does_not_reach_beyond_the_zone
    nxdomain_without_soa_is_nxdomain
    octets_after_the_message_are_ignored
    one_lost_packet_is_sent_again_with_another_id
    other_classes_are_not_served
    other_opcodes_are_not_implemented
    packets_that_are_no_queries_get_silence
    parent_and_child_zone_on_one_server
    priming_asks_the_root_for_itself
    records_of_another_class_are_not_taken
    responses_are_minimal
    retransmissions_of_a_waiting_client_cause_no_packets
    servers_that_are_all_silent_are_servfail_before_the_deadline
    servers_with_ipv6_addresses_alone_are_reached
    sibling_glue_is_used
    sixty_aliases_are_too_many
    special_names_are_answered_here_and_never_leak
    ten_aliases_over_two_zones_still_resolve_when_nothing_is_cached
    the_case_of_the_question_is_kept_from_the_cache
    the_faster_of_two_servers_gets_most_questions
    the_longest_matching_forward_zone_wins
    the_name_server_identifier_is_told_where_asked_for
    the_operators_own_records_answer
    the_owner_of_a_dname_is_not_renamed
    the_parents_dead_servers_do_not_hide_the_living_one
    the_root_and_top_level_domains_answer_for_themselves
    the_root_may_be_forwarded
    the_same_record_twice_is_one_record
    thirteen_servers_of_which_one_lives
    ttls_that_differ_within_a_set_become_the_least
    two_aliases_of_one_name_do_no_harm
    two_glueless_zones_that_point_at_each_other_fail_cheaply
    two_hundred_guessed_ids_change_nothing
    unknown_edns_options_are_ignored
    unknown_types_pass_through
    when_the_fast_server_dies_the_slow_one_serves_and_later_the_fast_one_again
    with_ipv4_off_no_packet_leaves_by_ipv4
    with_ipv6_off_no_packet_leaves_by_ipv6
    with_special_use_off_everything_is_asked
    without_minimisation_each_server_sees_the_whole_name
    without_prefetch_nothing_is_refreshed
    without_rd_only_the_cache_answers
    zone_transfers_are_not_served
}

#[test]
fn every_scenario_file_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .expect("the folder of scenarios")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter_map(|file| file.strip_suffix(".scenario").map(ToString::to_string))
        .collect();
    files.sort();
    let mut listed: Vec<String> = LISTED.iter().map(ToString::to_string).collect();
    listed.sort();
    assert_eq!(files, listed, "the files of tests/scenarios and the list in tests/sim/scenarios.rs differ");
}
